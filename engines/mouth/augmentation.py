"""Another light, exposure or no colour at all, for all that a sample holds; and what a second look would see."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

LUMA = (0.114, 0.587, 0.299)
COLOURS = 21  # of the style's numbers; the last is no colour


@dataclass(frozen=True, slots=True)
class Batch:
    """planes (B, 7, 128, 128), style (B, 22), truth (B, 3, 128, 128), mask (B, 1, 128, 128), all 0..1."""

    planes: Tensor
    style: Tensor
    truth: Tensor
    mask: Tensor


def batch_of(planes: Tensor, truth: Tensor, style: Tensor) -> Batch:
    """From the uint8 (B, H, W, C) of `data.Sample`."""
    unit = planes.permute(0, 3, 1, 2).float() / 255
    return Batch(unit, style, truth.permute(0, 3, 1, 2).float() / 255, unit[:, 3:4])


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

    crop, mask, drawn = batch.planes.split((3, 1, 3), dim=1)
    white = torch.maximum(picture(crop), mask)
    dim = (1 + 0.08 * normal(count, 1, 1, 1)).clamp(0.8, 1.2)
    planes = torch.cat([white, mask, (picture(drawn) * dim).clamp(0, 1)], dim=1)
    colours = batch.style[:, :COLOURS].reshape(count, -1, 3).transpose(1, 2)
    style = torch.cat([recolour(colours).transpose(1, 2).flatten(1), batch.style[:, COLOURS:]], dim=1)
    return Batch(planes, style, picture(batch.truth), mask)


def mirrored(batch: Batch) -> Batch:
    """Half of the samples as in a mirror."""
    flip = torch.rand(len(batch.truth), 1, 1, 1, device=batch.truth.device) < 0.5

    def turned(picture: Tensor) -> Tensor:
        return torch.where(flip, picture.flip(3), picture)

    return Batch(turned(batch.planes), batch.style, turned(batch.truth), turned(batch.mask))


def seen_again(planes: Tensor) -> Tensor:
    """The planes as the next frame of a still face has them: camera noise; for half of them an opening that reaches
    a pixel further (never less far: what lies there was erased)."""
    crop, mask, drawn = planes.split((3, 1, 3), dim=1)
    wider = torch.rand(len(mask), 1, 1, 1, device=mask.device) < 0.5
    shaken = torch.where(wider, F.max_pool2d(mask, 3, 1, 1), mask)
    noisy = (crop + torch.randn_like(crop) * 0.012).clamp(0, 1)
    return torch.cat([torch.maximum(noisy, shaken), shaken, drawn], dim=1)
