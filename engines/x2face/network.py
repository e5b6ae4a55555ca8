"""The two networks of X2Face (Wiles, Koepke, Zisserman, ECCV 2018), each with two backbones by name.

    embedded face = sample(source picture, Embedding(source picture))
    output        = sample(embedded face, Driving(what the driver does))

Both say, for each cell of what they make, where to sample what they are given. The embedding network is a U-Net: skip
connections tell it where the source's features lie. The driving network sends what it is told through a code of `CODE`
numbers, as in the paper. Its encoder is the product's tracker, which looks at every frame anyway: it comes as 478
landmarks, made those of the embedded face. No skip connection carries anything of the driver past the code: those of its
decoder carry places that were learned, bent by the code (`places`).

`unet`: decoder as in Ronneberger et al., U-Net, MICCAI 2015. `unet3plus`: each level of the decoder takes all scales, finer
ones pooled and coarser ones enlarged, `FEW` channels of each, and every level has an output of its own that is
supervised (Huang et al., UNet 3+, ICASSP 2020). The embedding network's encoders are the same: the first stages of
EfficientNet-Lite0, which keep their ImageNet weights, and inverted residuals.
"""

from pathlib import Path
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.network import Backbone, InvertedResidual, conv_bn, normalised
from engines.x2face.heads import Heads
from engines.x2face.places import CHANNELS, Places
from xpcam.face.landmarks import LANDMARKS

SIDE: Final = 128  # of the pictures that are made in training, pixels
SOURCE: Final = 256  # of the embedding network's input, which it halves
CODE: Final = 96
SPREAD: Final = 16  # channels of 4x4 places into which the code is spread
WIDTHS: Final = (16, 24, 40, 80, 112)  # channels of the encoder at strides 2, 4, 8, 16, 32
FEW: Final = 12  # channels that a level of U-Net 3+ takes of each scale
LEVELS: Final = len(WIDTHS)
BACKBONES: Final = ("unet", "unet3plus")


def separable(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(conv_bn(inputs, inputs, 3, groups=inputs), conv_bn(inputs, outputs, 1))


def enlarged(x: Tensor, factor: int) -> Tensor:
    return F.interpolate(x, scale_factor=float(factor), mode="bilinear", align_corners=False)


class Encoder(nn.Module):
    """(B, 3, 128, 128) BGR in 0..255 -> maps at strides 2, 4, 8, 16, 32. Up to stride 8 nothing is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.freeze_early()
        self.down4 = InvertedResidual(WIDTHS[2], WIDTHS[3], 5, 2, 4)
        self.down5 = nn.Sequential(
            InvertedResidual(WIDTHS[3], WIDTHS[3], 5, 1, 3), InvertedResidual(WIDTHS[3], WIDTHS[4], 5, 2, 3)
        )

    def load_imagenet(self, path: Path) -> None:
        """Take the published ImageNet weights for what is not learned; they serve the folded layers."""
        whole = Backbone()
        whole.load_imagenet(path)
        whole.freeze_early()
        self.stem, self.stages = whole.stem, whole.stages[:3]

    def freeze_early(self) -> None:
        """The layers as `load_imagenet` leaves them, whatever their weights: batch norms folded, not learned."""
        whole = Backbone()
        whole.freeze_early()
        self.stem, self.stages = whole.stem, whole.stages[:3]

    def early(self, image: Tensor) -> list[Tensor]:
        """What is not learned: the maps at strides 2, 4, 8."""
        maps, x = [], self.stem(normalised(image))
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.early(image)
        maps.append(self.down4(maps[-1]))
        maps.append(self.down5(maps[-1]))
        return maps


class Decoder(nn.Module):
    """Maps at strides 2 to 32, the finer ones only where there are skip connections -> maps at strides 2 to 32.

    Args:
        skips: channels that the encoder gives at strides 2, 4, 8, 16; 0 where it gives none.
    """

    def __init__(self, skips: tuple[int, ...]) -> None:
        super().__init__()
        self.skips = skips
        coarser, joins, mixes = WIDTHS[4], [], []
        for level in (3, 2, 1, 0):
            joins.append(conv_bn(coarser + skips[level], WIDTHS[level], 1))
            mixes.append(separable(WIDTHS[level], WIDTHS[level]))
            coarser = WIDTHS[level]
        self.joins, self.mixes = nn.ModuleList(joins), nn.ModuleList(mixes)
        self.widths = WIDTHS

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        made = [maps[4]]
        for join, mix, level in zip(self.joins, self.mixes, (3, 2, 1, 0), strict=True):
            wide = enlarged(made[0], 2)
            made.insert(0, mix(join(torch.cat([wide, maps[level]], 1) if self.skips[level] else wide)))
        return made


class FullScaleDecoder(nn.Module):
    """The same with full-scale skip connections."""

    def __init__(self, skips: tuple[int, ...]) -> None:
        super().__init__()
        self.skips = skips
        wide = FEW * LEVELS
        takes, mixes, widths = [], [], [0, 0, 0, 0, WIDTHS[4]]
        for level in (3, 2, 1, 0):
            take = nn.ModuleDict()
            for scale in range(LEVELS):
                channels = widths[scale] if scale > level else skips[scale]
                if channels:
                    take[str(scale)] = separable(channels, FEW)
            width = FEW * len(take)
            takes.append(take)
            widths[level] = min(wide, width)
            mixes.append(separable(width, widths[level]))
        self.takes, self.mixes = nn.ModuleList(takes), nn.ModuleList(mixes)
        self.widths = tuple(widths)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        made: dict[int, Tensor] = {4: maps[4]}
        for take, mix, level in zip(self.takes, self.mixes, (3, 2, 1, 0), strict=True):
            parts = []
            for name, layer in take.items():
                scale = int(name)
                if scale > level:
                    parts.append(enlarged(layer(made[scale]), 2 ** (scale - level)))
                else:
                    finer = maps[scale]
                    pooled = F.max_pool2d(finer, 2 ** (level - scale)) if scale < level else finer
                    parts.append(layer(pooled))
            made[level] = mix(torch.cat(parts, 1))
        return [made[level] for level in range(LEVELS)]


def decoder_of(backbone: str, skips: tuple[int, ...]) -> Decoder | FullScaleDecoder:
    return FullScaleDecoder(skips) if backbone == "unet3plus" else Decoder(skips)


class Embedding(nn.Module):
    """(B, 3, 128, 128) source BGR in 0..255 -> grids (B, 2, 128, 128), in training of all scales."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = decoder_of(backbone, WIDTHS[:4])
        self.heads = Heads(self.decoder.widths, WIDTHS[4], backbone == "unet3plus")

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = self.encoder(image)
        return self.heads(self.decoder(maps), maps[4].mean(dim=(2, 3)))


class Driving(nn.Module):
    """(B, 478, 2) landmarks of the embedded face in an act, -1 to 1 -> grids as `Embedding`."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        self.code = nn.Linear(2 * LANDMARKS, CODE)
        self.spread = nn.Linear(CODE, SPREAD * 16)
        self.widen = conv_bn(SPREAD, WIDTHS[4], 1)
        self.places = nn.ModuleList(Places(CODE, level) for level in range(LEVELS - 1))
        self.decoder = decoder_of(backbone, CHANNELS)
        self.heads = Heads(self.decoder.widths, CODE, backbone == "unet3plus", blended=True)

    def read(self, landmarks: Tensor) -> Tensor:
        """(B, 96) the code, all that is known of the driver."""
        return self.code(landmarks.flatten(1))

    def decode(self, code: Tensor) -> list[Tensor]:
        """Grids of a code."""
        coarsest = self.widen(F.relu(self.spread(code)).view(-1, SPREAD, 4, 4))
        return self.heads(self.decoder([*(place(code) for place in self.places), coarsest]), code)

    def forward(self, landmarks: Tensor) -> list[Tensor]:
        return self.decode(self.read(landmarks))


class X2Face(nn.Module):
    """Both networks, for training."""

    def __init__(self, backbone: str) -> None:
        super().__init__()
        if backbone not in BACKBONES:
            raise ValueError(f"backbone: found {backbone!r}, wanted one of {', '.join(BACKBONES)}")
        self.embedding, self.driving = Embedding(backbone), Driving(backbone)

    def forward(
        self, source: Tensor | None, driver: Tensor, every: int = 1
    ) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """Grids of the embedding network, none without a source; of the driving network; codes of all drivers.

        Args:
            every: of so many drivers (D, 478, 2) one is decoded.
        """
        code = self.driving.read(driver)
        return [] if source is None else self.embedding(source), self.driving.decode(code[::every]), code


def sample(picture: Tensor, grid: Tensor) -> Tensor:
    """The picture (B, C, H, W) at a grid (B, 2, h, w), its border repeated."""
    return F.grid_sample(picture, grid.permute(0, 2, 3, 1), align_corners=False, padding_mode="border")
