"""The networks of the engine `face_params`: landmarks of a face crop, and a face detector.

The landmark network begins with the first stages of EfficientNet-Lite0 (Liu 2020, from Tan and Le, EfficientNet, ICML 2019):
inverted residual blocks (Sandler et al., MobileNetV2, CVPR 2018) without squeeze-and-excitation, with ReLU
for ReLU6, whose backward pass is slow on the CPU.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.face_params.patch_points import LEFT_CENTRE, LEFT_POINTS, MOUTH_CENTRE, MOUTH_POINTS
from xpcam.face import landmarks as fl

CROP = 256  # side of the landmark network's input, pixels
PATCH = 64  # side of a refinement patch, samples
FROZEN = 3  # stages that keep their ImageNet weights
STAGES = (  # expansion, channels, kernel, stride, blocks
    (1, 16, 3, 1, 1),
    (6, 24, 3, 2, 2),
    (6, 40, 5, 2, 2),
    (6, 80, 3, 2, 3),
    (6, 112, 5, 1, 3),
    (6, 192, 5, 2, 4),
)


def normalised(image: Tensor) -> Tensor:
    return (image - 127.0) / 128.0


class DepthwiseConv(nn.Conv2d):
    """Depthwise convolution that leaves bfloat16 where its backward pass on the CPU is 4 to 10 times slower."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not self.weight.requires_grad or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        if self.kernel_size[0] == 3 and self.stride[0] == 1:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(torch.bfloat16)


def conv_bn(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1, act: bool = True
) -> nn.Sequential:
    kind = DepthwiseConv if groups > 1 else nn.Conv2d
    layers: list[nn.Module] = [
        kind(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03),
    ]
    return nn.Sequential(*layers, nn.ReLU(inplace=True)) if act else nn.Sequential(*layers)


class InvertedResidual(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        inner = inputs * expansion
        layers = [conv_bn(inputs, inner, 1)] if expansion > 1 else []
        layers += [conv_bn(inner, inner, kernel, stride, groups=inner), conv_bn(inner, outputs, 1, act=False)]
        self.layers = nn.Sequential(*layers)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x) if self.residual else self.layers(x)


class Backbone(nn.Module):
    """EfficientNet-Lite0 up to stride 32, without its last block; returns the maps at strides 8, 16 and 32."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv_bn(3, 32, 3, stride=2)
        groups, channels = [], 32
        for expansion, outputs, kernel, stride, blocks in STAGES:
            group = []
            for block in range(blocks):
                group.append(
                    InvertedResidual(channels, outputs, kernel, stride if block == 0 else 1, expansion)
                )
                channels = outputs
            groups.append(nn.Sequential(*group))
        self.stages = nn.ModuleList(groups)

    def freeze_early(self) -> None:
        """Keep the ImageNet features up to stride 8, batch norms folded in: most of the training time is theirs."""
        for part in (self.stem, *self.stages[:FROZEN]):
            for block in [
                m for m in part.modules() if isinstance(m, nn.Sequential) and isinstance(m[0], nn.Conv2d)
            ]:
                if isinstance(block[1], nn.BatchNorm2d):
                    block[0] = fuse_conv_bn_eval(block[0].eval(), block[1].eval())
                    block[1] = nn.Identity()
            part.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in (2, 4, 5):  # 40 channels at stride 8, 112 at 16, 192 at 32
                maps.append(x)
        return maps

    def load_imagenet(self, path: Path) -> None:
        """Take ImageNet weights from the published checkpoint, layer by layer in order; its input is RGB."""
        published = [
            v for k, v in torch.load(path, weights_only=True).items() if not k.endswith("batches_tracked")
        ]
        mine = {k: v for k, v in self.state_dict().items() if not k.endswith("batches_tracked")}
        loaded = {}
        for (name, weight), source in zip(mine.items(), published, strict=False):
            if weight.shape != source.shape:
                raise SystemExit(
                    f"ImageNet weights: {name} is {tuple(weight.shape)}, the file has {tuple(source.shape)}"
                )
            loaded[name] = source
        loaded["stem.0.weight"] = loaded["stem.0.weight"].flip(1)  # to BGR
        self.load_state_dict(loaded, strict=False)


class PatchNet(nn.Module):
    """Reads one zoomed patch and corrects the coarse landmarks in it; no batch statistics shared with the rest."""

    def __init__(self, points: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_bn(3, 24, 3, stride=2),  # 32
            conv_bn(24, 48, 3, stride=2),  # 16
            conv_bn(48, 64, 3),
            conv_bn(64, 96, 3, stride=2),  # 8
            conv_bn(96, 128, 3),
            conv_bn(128, 24, 1),
        )
        self.hidden = nn.Linear(24 * 64 + points * 2, 192)
        self.out = nn.Linear(192, points * 2)
        nn.init.normal_(self.out.weight, std=1e-3)
        nn.init.zeros_(self.out.bias)

    def forward(self, patch: Tensor, coarse: Tensor) -> Tensor:
        """patch (B, 3, 64, 64), coarse (B, P, 2) in patch units -> corrections (B, P, 2)."""
        x = torch.cat([self.convs(patch).flatten(1), coarse.flatten(1)], dim=1)
        return self.out(F.relu(self.hidden(x))).view(coarse.shape)


MOUTH_HALF, EYE_HALF = 48.0, 44.0  # half side of the patches, pixels of the crop


class LandmarkNet(nn.Module):
    """(B, 3, 256, 256) BGR in 0..255 -> landmarks (B, 478, 3) in crop pixels and a confidence logit (B,).

    A coarse pass over the halved picture places all landmarks; lips, eyes and brows are then corrected from
    patches of the full crop cut at the coarse places. The right eye's patch is mirrored: one network, two eyes.
    """

    def __init__(self, mean_shape: Tensor) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.near = conv_bn(112, 24, 1)
        self.far = conv_bn(192, 96, 1)
        self.hidden = nn.Linear(24 * 64 + 96 * 16, 256)
        self.shape = nn.Linear(256, fl.LANDMARKS * 3)
        self.face = nn.Linear(256, 1)
        self.register_buffer("mean_shape", mean_shape.view(1, fl.LANDMARKS, 3))
        nn.init.normal_(self.shape.weight, std=1e-3)
        nn.init.zeros_(self.shape.bias)
        mesh = fl.face_mesh()
        mouth, left = list(MOUTH_POINTS), list(LEFT_POINTS)
        right = [int(i) for i in mesh.mirror[left]]
        taken = {*mouth, *left, *right}
        rest = [i for i in range(fl.LANDMARKS) if i not in taken]
        self.groups: dict[str, list[int]] = {"mouth": mouth, "left": left, "right": right, "rest": rest}
        order = [*rest, *mouth, *left, *right]
        self.register_buffer("restore", torch.tensor(np.argsort(order)), persistent=False)
        for name, points in self.groups.items():
            self.register_buffer(f"{name}_points", torch.tensor(points), persistent=False)
        mirror = torch.tensor([mouth.index(int(mesh.mirror[i])) for i in mouth])
        self.register_buffer("mouth_mirror", mirror, persistent=False)
        self.register_buffer("mouth_centre", torch.tensor(MOUTH_CENTRE), persistent=False)
        self.register_buffer("left_centre", torch.tensor(LEFT_CENTRE), persistent=False)
        right_centre = torch.tensor([int(mesh.mirror[i]) for i in LEFT_CENTRE])
        self.register_buffer("right_centre", right_centre, persistent=False)
        steps = (torch.arange(PATCH) + 0.5) * (2 / PATCH) - 1
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)  # (64, 64, 2), -1..1
        self.register_buffer("grid", grid[None], persistent=False)
        self.mouth = PatchNet(len(mouth))
        self.eye = PatchNet(len(left))

    def cut(self, image: Tensor, centre: Tensor, half: float, mirror: bool = False) -> Tensor:
        """(B, 3, 64, 64) patches about `centre` (B, 2), crop pixels."""
        flip = self.grid.new_tensor([-1.0 if mirror else 1.0, 1.0])
        places = centre[:, None, None, :] + self.grid * flip * half
        places = (places + 0.5) * (2 / CROP) - 1
        return normalised(F.grid_sample(image, places, align_corners=False, padding_mode="border"))

    def look(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Maps at strides 16 (B, 112, 8, 8) and 32 (B, 192, 4, 4), what is known (B, 256), coarse landmarks, logit."""
        _, near, far = self.backbone(normalised(F.avg_pool2d(image, 2)))
        x = torch.cat([self.near(near).flatten(1), self.far(far).flatten(1)], dim=1)
        x = F.relu(self.hidden(x))
        offset = self.shape(x).float().view(-1, fl.LANDMARKS, 3)
        return near, far, x, self.mean_shape + offset * 32.0, self.face(x).float()[:, 0]

    def coarse(self, image: Tensor) -> tuple[Tensor, Tensor]:
        *_, landmarks, logit = self.look(image)
        return landmarks, logit

    def refine_eyes(self, image: Tensor, guess: Tensor) -> tuple[Tensor, Tensor]:
        left_at, right_at = guess[:, self.left_centre].mean(1), guess[:, self.right_centre].mean(1)
        patches = torch.cat(
            [self.cut(image, left_at, EYE_HALF), self.cut(image, right_at, EYE_HALF, mirror=True)]
        )
        flip = guess.new_tensor([-1.0, 1.0]) / EYE_HALF
        left = (guess[:, self.left_points] - left_at[:, None]) / EYE_HALF
        right = (guess[:, self.right_points] - right_at[:, None]) * flip
        moved = torch.cat([left, right])
        moved = moved + self.eye(patches, moved).float()
        left, right = moved.chunk(2)
        return left * EYE_HALF + left_at[:, None], right * (flip * EYE_HALF**2) + right_at[:, None]

    def refine_mouth(self, patch: Tensor, mouth: Tensor, both_ways: bool) -> Tensor:
        """Corrected mouth points (B, P, 2) in patch units; `both_ways` averages with what the mirrored patch says."""
        seen = mouth + self.mouth(patch, mouth).float()
        if not both_ways:
            return seen
        flip = mouth.new_tensor([-1.0, 1.0])
        mirrored = mouth[:, self.mouth_mirror] * flip
        mirrored = mirrored + self.mouth(patch.flip(3), mirrored).float()
        return (seen + mirrored[:, self.mouth_mirror] * flip) / 2

    def refine(self, image: Tensor, coarse: Tensor, both_ways: bool = False) -> Tensor:
        """Coarse landmarks (B, 478, 3) with those of lips, eyes and brows corrected from their patches."""
        guess = coarse.detach()[..., :2]
        centre = guess[:, self.mouth_centre].mean(1)
        mouth = (guess[:, self.mouth_points] - centre[:, None]) / MOUTH_HALF
        mouth = self.refine_mouth(self.cut(image, centre, MOUTH_HALF), mouth, both_ways)
        left, right = self.refine_eyes(image, guess)
        rest = coarse[:, self.rest_points, :2]
        flat = torch.cat([rest, mouth * MOUTH_HALF + centre[:, None], left, right], dim=1)[:, self.restore]
        return torch.cat([flat, coarse[..., 2:]], dim=2)

    def forward(self, image: Tensor, guess: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Returns landmarks, coarse landmarks (B, 478, 3), confidence logit (B,).

        Training may give a `guess` (G, 478, 3) for the last G pictures: those skip the costly coarse pass.
        """
        if guess is None:
            coarse, logit = self.coarse(image)
        else:
            coarse, logit = self.coarse(image[: -len(guess)])
            coarse = torch.cat([coarse, guess])
        return self.refine(image, coarse), coarse, logit


class Residual(nn.Module):
    """Two plain convolutions beside a short cut: dense ones train fastest in bfloat16 on the CPU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv_bn(channels, channels, 3), conv_bn(channels, channels, 3, act=False))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class DetectorNet(nn.Module):
    """(B, 3, 320, 320) BGR in 0..255 -> score logits (B, 1, 40, 40), geometry (B, 5, 40, 40).

    Geometry of each cell of 8 pixels: offset x, y of the face's centre from the cell's in cells, log of the face's
    side over 32 pixels, sine and cosine of its roll. A feature pyramid (Lin et al., CVPR 2017) of four levels.
    """

    def __init__(self) -> None:
        super().__init__()
        self.level8 = nn.Sequential(
            conv_bn(3, 16, 3, 2), conv_bn(16, 32, 3, 2), conv_bn(32, 64, 3, 2), conv_bn(64, 64, 3)
        )
        self.level16 = nn.Sequential(conv_bn(64, 96, 3, 2), Residual(96))
        self.level32 = nn.Sequential(conv_bn(96, 128, 3, 2), Residual(128))
        self.level64 = nn.Sequential(conv_bn(128, 128, 3, 2), Residual(128))
        self.laterals = nn.ModuleList(conv_bn(width, 64, 1, act=False) for width in (64, 96, 128, 128))
        self.mix = conv_bn(64, 64, 3)
        self.score = nn.Conv2d(64, 1, 1)
        self.geometry = nn.Conv2d(64, 5, 1)
        nn.init.constant_(self.score.bias, -4.0)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        levels = [self.level8(normalised(image))]
        for deeper in (self.level16, self.level32, self.level64):
            levels.append(deeper(levels[-1]))
        x = self.laterals[3](levels[3])
        for lateral, level in zip(reversed(self.laterals[:3]), reversed(levels[:3]), strict=True):
            x = lateral(level) + F.interpolate(x, scale_factor=2.0, mode="nearest")
        x = self.mix(F.relu(x))
        return self.score(x).float(), self.geometry(x).float()
