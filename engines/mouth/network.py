"""The generator of mouth interiors, and the two discriminators it learns against.

A MobileNet U-Net: inverted residual blocks (Sandler et al., MobileNetV2, CVPR 2018) down to stride 16, separable
convolutions and skip connections up again (Ronneberger et al., U-Net, MICCAI 2015), a sub-pixel head (Shi et al., CVPR
2016). It looks at the crop at half its size. What it returns is how the drawn
interior has to change, place by place: a gain and an offset of each colour (`applied`). So the drawing keeps its
sharp edges at any size, and what is said of two neighbouring frames can be averaged.
"""

from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from engines.face_params.network import InvertedResidual, conv_bn

PLANES: Final = 7  # white-filled crop 3, mask 1, drawn interior 3
STYLE: Final = 26  # `Style.vector` and what the mouth is to show
TRANSFER: Final = 6  # gains, offsets
STRONGEST: Final = 0.8  # largest offset, of 1
WIDTHS: Final = (20, 32, 64, 112)  # channels at strides 4, 8, 16 and 32
LOCAL: Final = 64  # side of the local discriminator's input


class Up(nn.Module):
    """Twice the size, joined with the skip connection, mixed."""

    def __init__(self, inputs: int, skip: int, outputs: int) -> None:
        super().__init__()
        self.join = conv_bn(inputs + skip, outputs, 1)
        self.mix = nn.Sequential(conv_bn(outputs, outputs, 3, groups=outputs), conv_bn(outputs, outputs, 1))

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        wide = F.interpolate(x, scale_factor=2.0, mode="nearest")
        return self.mix(self.join(torch.cat([wide, skip], dim=1)))


class Conditioned(nn.Module):
    """Channels scaled and shifted by what the style says (Perez et al., FiLM, AAAI 2018)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.linear = nn.Linear(STYLE, 2 * channels)
        nn.init.normal_(self.linear.weight, std=0.05)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.linear(style)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class Generator(nn.Module):
    """(B, 7, 128, 128) planes and (B, 26) style, about 0..1 -> (B, 6, 64, 64) gains 0..2 and offsets."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(conv_bn(PLANES, a, 3, stride=2), InvertedResidual(a, a, 3, 1, 2))
        self.down1 = nn.Sequential(InvertedResidual(a, b, 3, 2, 3), InvertedResidual(b, b, 3, 1, 3))
        self.down2 = nn.Sequential(InvertedResidual(b, c, 3, 2, 3), *_blocks(c, 2))
        self.down3 = nn.Sequential(InvertedResidual(c, d, 3, 2, 3), *_blocks(d, 2))
        self.style3, self.style2, self.style1 = Conditioned(d), Conditioned(b), Conditioned(24)
        self.up3, self.up2, self.up1 = Up(d, c, c), Up(c, b, b), Up(b, a, 24)
        self.head = nn.Conv2d(24, 4 * TRANSFER, 3, padding=1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    def forward(self, planes: Tensor, style: Tensor) -> Tensor:
        quarter = self.stem(F.avg_pool2d(planes, 2) * 2 - 1)  # (B, 20, 32, 32)
        eighth = self.down1(quarter)
        sixteenth = self.down2(eighth)
        low = self.style3(self.down3(sixteenth), style)  # (B, 112, 4, 4)
        x = self.style2(self.up2(self.up3(low, sixteenth), eighth), style)
        x = self.head(self.style1(self.up1(x, quarter), style))
        gain, offset = F.pixel_shuffle(x, 2).chunk(2, dim=1)
        return torch.cat([gain.sigmoid() * 2, offset.tanh() * STRONGEST], dim=1)


def applied(transfer: Tensor, drawn: Tensor) -> Tensor:
    """(B, 3, H, W) the interior: what is `drawn`, (B, 3, H, W), as the (B, 6, h, w) `transfer` says."""
    wide = F.interpolate(transfer.float(), drawn.shape[-2:], mode="bilinear", align_corners=False)
    gain, offset = wide.chunk(2, dim=1)
    return drawn * gain + offset


def _blocks(channels: int, count: int) -> list[nn.Module]:
    return [InvertedResidual(channels, channels, 3, 1, 3) for _ in range(count)]


class Discriminator(nn.Module):
    """(B, 4, S, S) picture and mask -> the maps of each layer, the last one the verdict on each patch.

    PatchGAN (Isola et al., CVPR 2017) with spectral normalisation (Miyato et al., ICLR 2018).
    """

    def __init__(self) -> None:
        super().__init__()
        widths = (4, 24, 48, 96)
        self.layers = nn.ModuleList(
            spectral_norm(nn.Conv2d(i, o, 4, stride=2, padding=1)) for i, o in pairwise(widths)
        )
        self.verdict = spectral_norm(nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, x: Tensor) -> list[Tensor]:
        maps = []
        for layer in self.layers:
            x = F.leaky_relu(layer(x), 0.2)
            maps.append(x)
        return [*maps, self.verdict(x)]


class Critics(nn.Module):
    """The global discriminator sees the whole crop, the local one the opening alone, enlarged."""

    def __init__(self) -> None:
        super().__init__()
        self.whole, self.local = Discriminator(), Discriminator()

    def forward(self, picture: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """(B, 3, H, W) pictures and (B, 1, H, W) masks -> the maps of both."""
        seen = torch.cat([picture * 2 - 1, mask], dim=1)
        return self.whole(seen), self.local(tight(seen, mask))


def tight(picture: Tensor, mask: Tensor) -> Tensor:
    """(B, C, 64, 64) the bounding boxes of the masks."""
    count, size = len(mask), mask.shape[-1]
    places = torch.arange(size, device=mask.device, dtype=torch.float32)
    theta = torch.zeros(count, 2, 3, device=mask.device)
    for axis, other in ((0, 2), (1, 3)):
        seen = mask.amax(dim=(1, other)) > 0.5  # (B, size) along x for other 2, along y for other 3
        low = torch.where(seen, places, float(size)).amin(dim=1).clamp(max=size - 4.0)
        high = torch.maximum(torch.where(seen, places, -1.0).amax(dim=1), low + 3)
        theta[:, axis, axis] = (high - low + 1) / size
        theta[:, axis, 2] = (low + high + 1) / size - 1
    grid = F.affine_grid(theta, [count, picture.shape[1], LOCAL, LOCAL], align_corners=False)
    return F.grid_sample(picture.float(), grid, align_corners=False, padding_mode="border")
