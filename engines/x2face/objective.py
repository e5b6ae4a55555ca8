"""What one step of training asks of both networks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.x2face import losses
from engines.x2face.network import SIDE, X2Face, enlarged, sample
from engines.x2face.packs import ACTS_EACH, DRIVERS, Batch
from xpcam.face import landmarks as fl

STRUCTURE = {"l1": "l1", "l1+ssim": "ssim", "l1+ms-ssim": "ms-ssim"}
PIXELS, STRUCTURES, PLACES, EMBEDDED, DEEP, IDENTITY, ROUGH = 10.0, 1.5, 1.0, 0.7, 0.35, 0.5, 0.15


def landmark_weights() -> Tensor:
    """(478,) what counts of the landmarks: lids and lips most."""
    weight = torch.full((fl.LANDMARKS,), 0.5)
    weight[[*fl.RIGHT_BROW, *fl.LEFT_BROW]] = 3.0
    weight[[*fl.OUTER_LIPS, *fl.INNER_LIPS]] = 3.0
    weight[[*fl.RIGHT_EYE, *fl.LEFT_EYE]] = 5.0
    return weight


def pixel_weights() -> Tensor:
    """(1, 1, 128, 128) what counts of the pixels: the face more than what is around it."""
    steps = (torch.arange(SIDE) + 0.5) * (2 / SIDE) - 1
    away = steps[None] ** 2 + (steps[:, None] + 0.05) ** 2
    return (0.2 + torch.exp(-away / (2 * 0.42**2)))[None, None]


class Objective:
    """The losses of a batch.

    Args:
        kind: a key of `STRUCTURE`.
    """

    def __init__(self, kind: str, device: torch.device) -> None:
        self._kind = STRUCTURE[kind]
        self._points, self._pixels = landmark_weights().to(device), pixel_weights().to(device)

    def __call__(self, network: torch.nn.Module, batch: Batch) -> dict[str, Tensor]:
        device = batch.source.device.type
        with torch.autocast(device, torch.bfloat16):
            embedding, driving = network(
                batch.source.contiguous(memory_format=torch.channels_last),
                batch.driver.contiguous(memory_format=torch.channels_last),
            )
        embedding, driving = [grid.float() for grid in embedding], [grid.float() for grid in driving]
        picture, wanted = batch.source / 255, batch.wanted / 255
        parts = self._places(batch, embedding, driving)
        first = driving[0][::DRIVERS]  # pictures are made by the first driver of each wish
        embedded = sample(picture, enlarged(embedding[0], 2)).repeat_interleave(ACTS_EACH, 0)
        made = sample(embedded, enlarged(first, 2))
        parts["pixels"] = PIXELS * losses.pixels(made, wanted, self._pixels.expand(len(made), -1, -1, -1))
        if self._kind != "l1":
            parts["structure"] = STRUCTURES * losses.structure(made, wanted, self._kind)
        parts["rough"] = ROUGH * (losses.roughness(driving[0]) + losses.roughness(embedding[0]))
        parts["identity"] = IDENTITY * losses.identity(driving[0], len(driving[0]) // DRIVERS)
        if len(driving) > 1:
            parts["deep"] = DEEP * self._deep(batch, driving[1:], embedding[1:], wanted, embedded)
        return parts

    def _places(self, batch: Batch, embedding: list[Tensor], driving: list[Tensor]) -> dict[str, Tensor]:
        """The renderer knows where each landmark went: the grids, and both in a row, must say the same."""
        canonical = batch.canonical.repeat_interleave(ACTS_EACH * DRIVERS, 0)
        at, seen = batch.wanted_at.repeat_interleave(DRIVERS, 0), batch.seen.repeat_interleave(DRIVERS, 0)
        found = losses.looked_up(driving[0], at)
        driven = losses.apart(found, canonical, seen * self._points)
        shown = losses.looked_up(embedding[0], batch.canonical)
        embedded = losses.apart(shown, batch.source_at, batch.seen_source * self._points)
        return {"driven": PLACES * driven, "embedded": EMBEDDED * embedded}

    def _deep(
        self, batch: Batch, driving: list[Tensor], embedding: list[Tensor], wanted: Tensor, embedded: Tensor
    ) -> Tensor:
        """Full-scale deep supervision: each coarser level's own grid, held against the same, at its own scale."""
        total = wanted.new_zeros(())
        canonical = batch.canonical.repeat_interleave(ACTS_EACH * DRIVERS, 0)
        at, seen = batch.wanted_at.repeat_interleave(DRIVERS, 0), batch.seen.repeat_interleave(DRIVERS, 0)
        for drive, embed in zip(driving, embedding, strict=True):
            factor = SIDE // drive.shape[-1]
            made = sample(F.avg_pool2d(embedded.detach(), factor), drive[::DRIVERS])
            total = total + PIXELS * (made - F.avg_pool2d(wanted, factor)).abs().mean()
            total = total + losses.apart(losses.looked_up(drive, at), canonical, seen * self._points)
            shown = losses.looked_up(embed, batch.canonical)
            total = total + losses.apart(shown, batch.source_at, batch.seen_source * self._points)
        return total / len(driving)


@torch.no_grad()
def judged(network: X2Face, batch: Batch) -> tuple[dict[str, float], Tensor]:
    """What a held-out batch says, drivers of other identities, and the (W, 3, 128, 128) pictures made.

    SSIM of what is made against the wanted picture beside that of the source merely copied; how far the landmarks are
    off, in cells of a grid of 64, with both networks in a row and without any motion.
    """
    embedding, driving = network(batch.source, batch.driver[::DRIVERS])
    picture, wanted = batch.source / 255, batch.wanted / 255
    many = (ACTS_EACH, 0)
    embedded = sample(picture, enlarged(embedding[0], 2)).repeat_interleave(*many)
    made = sample(embedded, enlarged(driving[0], 2))
    copied = picture.repeat_interleave(*many)
    weight = batch.seen * landmark_weights().to(picture.device)
    through = losses.looked_up(
        embedding[0].repeat_interleave(*many), losses.looked_up(driving[0], batch.wanted_at)
    )
    goal = batch.source_at.repeat_interleave(*many)
    rows = {
        "l1": (made - wanted).abs().mean(),
        "ssim": losses.ssim(made, wanted),
        "ms_ssim": losses.ms_ssim(made, wanted, losses.normalised_weights(4)),
        "copied_l1": (copied - wanted).abs().mean(),
        "copied_ssim": losses.ssim(copied, wanted),
        "cells": losses.apart(through, goal, weight),
        "still_cells": losses.apart(batch.wanted_at, goal, weight),
    }
    return {name: float(value) for name, value in rows.items()}, made
