"""Another light, exposure or no colour at all, for all that a sample holds; and what a second look would see."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.114, 0.587, 0.299)
COLOURS = 21  # of the style's numbers are colours


@dataclass(frozen=True, slots=True)
class Batch:
    """planes (B, 7, 128, 128), style (B, 26), truth (B, 3, 128, 128), mask (B, 1, 128, 128), all about 0..1."""

    planes: Tensor
    style: Tensor
    truth: Tensor
    mask: Tensor


def batch_of(truth: Tensor, mask: Tensor, drawn: Tensor, style: Tensor) -> Batch:
    """From the uint8 (B, 128, 128, ...) of `data.Sample`."""
    unit, painted = (part.permute(0, 3, 1, 2).float() / 255 for part in (truth, drawn))
    opened = mask[:, None].float() / 255
    planes = torch.cat([unit + (1 - unit) * opened, opened, painted * (opened > 0)], dim=1)
    return Batch(planes, style, unit, opened)


def recoloured(batch: Batch) -> Batch:
    """Every sample under a light of its own."""
    count, device = len(batch.truth), batch.truth.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, device=device)

    gain = (normal(count, 1) * 0.12 + normal(count, 3) * 0.05).exp()
    gamma = (normal(count, 1) * 0.15).exp()
    chance = torch.rand(count, 1, device=device)
    grey = torch.where(chance < 0.08, torch.ones_like(chance), (chance - 0.08) * 0.2)
    luma = torch.tensor(LUMA, device=device)

    def recolour(colours: Tensor) -> Tensor:
        """(B, 3, N) colours."""
        lit = colours.clamp(min=1e-4) ** gamma[:, :, None] * gain[:, :, None]
        bright = (lit * luma[:, None]).sum(dim=1, keepdim=True)
        return (lit + (bright - lit) * grey[:, :, None]).clamp(0, 1)

    def picture(colours: Tensor) -> Tensor:
        return recolour(colours.flatten(2)).view_as(colours)

    drawn = batch.planes[:, 4:]
    truth = picture(batch.truth)
    white = truth + (1 - truth) * batch.mask
    dim = (1 + 0.08 * normal(count, 1, 1, 1)).clamp(0.8, 1.2)
    planes = torch.cat([white, batch.mask, (picture(drawn) * dim).clamp(0, 1)], dim=1)
    colours = batch.style[:, :COLOURS].reshape(count, -1, 3).transpose(1, 2)
    style = torch.cat([recolour(colours).transpose(1, 2).flatten(1), batch.style[:, COLOURS:]], dim=1)
    return Batch(planes, style, truth, batch.mask)


def mirrored(batch: Batch) -> Batch:
    """Half of the samples as in a mirror."""
    flip = torch.rand(len(batch.truth), 1, 1, 1, device=batch.truth.device) < 0.5

    def turned(picture: Tensor) -> Tensor:
        return torch.where(flip, picture.flip(3), picture)

    return Batch(turned(batch.planes), batch.style, turned(batch.truth), turned(batch.mask))


@dataclass(frozen=True, slots=True)
class Tremble:
    """How a crop lies a moment later: (B, 128, 128, 2) where each pixel is taken from."""

    grid: Tensor

    def of(self, picture: Tensor) -> Tensor:
        """(B, C, 128, 128) pictures, moved."""
        return F.grid_sample(picture, self.grid, mode="bilinear", padding_mode="border", align_corners=False)


def tremble(count: int, size: int) -> Tremble:
    """What a tracker's noise does to a still face's crops: moved by a third of a pixel, a hundredth larger."""
    moved = torch.randn(count, 2) * (0.35 * 2 / size)
    scale = 1 + torch.randn(count, 2) * 0.006
    theta = torch.cat([torch.diag_embed(scale), moved[:, :, None]], dim=2)
    return Tremble(F.affine_grid(theta, [count, 1, size, size], align_corners=False))


def seen_again(planes: Tensor, moved: Tremble) -> Tensor:
    """The planes as the next frame of a still face has them: moved, a little noise, and for half of them an opening
    that reaches up to a pixel further (never less far: what lies there was erased)."""
    crop, mask, drawn = moved.of(planes).split((3, 1, 3), dim=1)
    share = torch.rand(len(mask), 1, 1, 1) * (torch.rand(len(mask), 1, 1, 1) < 0.5)
    shaken = torch.maximum(mask, F.max_pool2d(mask, 3, 1, 1) * share)
    noisy = (crop + torch.randn_like(crop) * 0.008).clamp(0, 1)
    white = torch.where(shaken > mask, noisy + (1 - noisy) * (shaken - mask) / (1 - mask + 1e-3), noisy)
    return torch.cat([white, shaken, drawn], dim=1)
