"""What one step of training asks of both networks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.x2face import losses
from engines.x2face.network import SIDE, X2Face, enlarged, sample
from engines.x2face.packs import ACTS_EACH, DRIVERS, Batch
from xpcam.face import landmarks as fl

STRUCTURE = {"l1": "l1", "l1+ssim": "ssim", "l1+ms-ssim": "ms-ssim"}
PIXELS, STRUCTURES, PLACES, APART, EMBEDDED, DEEP, IDENTITY, ROUGH = 10.0, 1.5, 1.0, 2.0, 0.7, 0.35, 0.5, 0.15
PAIRS = (
    *fl.RIGHT_LIDS, *fl.LEFT_LIDS, *fl.LIPS_APART,
    *zip(fl.RIGHT_LID_SKIN[:7], fl.RIGHT_EYE[1:8], strict=True),
    *zip(fl.LEFT_LID_SKIN[:7], fl.LEFT_EYE[1:8], strict=True),
    (105, 159), (66, 158), (107, 133), (70, 33), (334, 386), (296, 385), (336, 362), (300, 263),
    (61, 291), (61, 33), (291, 263), (2, 13), (2, 0), (17, 152), (14, 152), (61, 13), (291, 13), (61, 14), (291, 14),
)  # fmt: skip
"""Landmarks whose way from one to the other is expression, whatever the head does: lids, brows, lips, jaw."""


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
        self._first, self._second = torch.tensor(PAIRS, device=device).T

    def __call__(self, network: torch.nn.Module, batch: Batch, pictures: bool = True) -> dict[str, Tensor]:
        """The weighted losses by name.

        Args:
            pictures: also make pictures, which costs most; without them the driving network alone is run.
        """
        with torch.autocast(batch.source.device.type, torch.bfloat16):
            embedding, driving = network(
                batch.source.contiguous(memory_format=torch.channels_last) if pictures else None,
                batch.driver.contiguous(memory_format=torch.channels_last),
            )
        embedding, driving = [grid.float() for grid in embedding], [grid.float() for grid in driving]
        parts = self._driven(batch, driving)
        if pictures:
            parts |= self._made(batch, embedding, driving)
        return parts

    def _made(self, batch: Batch, embedding: list[Tensor], driving: list[Tensor]) -> dict[str, Tensor]:
        """What the embedding network and the pictures add."""
        shown = losses.looked_up(embedding[0], batch.canonical)
        embedded_at = losses.apart(shown, batch.source_at, batch.seen_source * self._points)
        picture, wanted = batch.source / 255, batch.wanted / 255
        first = driving[0][::DRIVERS]  # pictures are made by the first driver of each wish
        embedded = sample(picture, enlarged(embedding[0], 2)).repeat_interleave(ACTS_EACH, 0)
        made = sample(embedded, enlarged(first, 2))
        weight = self._pixels.expand(len(made), -1, -1, -1)
        parts = {
            "embedded": EMBEDDED * embedded_at,
            "pixels": PIXELS * losses.pixels(made, wanted, weight),
            "rough": ROUGH * losses.roughness(embedding[0]),
        }
        if self._kind != "l1":
            parts["structure"] = STRUCTURES * losses.structure(made, wanted, self._kind)
        if len(embedding) > 1:
            parts["deep_pictures"] = DEEP * self._deep_pictures(
                batch, driving[1:], embedding[1:], wanted, embedded
            )
        return parts

    def _driven(self, batch: Batch, driving: list[Tensor]) -> dict[str, Tensor]:
        """The renderer knows where each landmark went: the driving grid must say so, whoever drives."""
        canonical = batch.canonical.repeat_interleave(ACTS_EACH * DRIVERS, 0)
        at, seen = batch.wanted_at.repeat_interleave(DRIVERS, 0), batch.seen.repeat_interleave(DRIVERS, 0)
        found = losses.looked_up(driving[0], at)
        ways, wanted = self._ways(found), self._ways(canonical)
        parts = {
            "driven": PLACES * losses.apart(found, canonical, seen * self._points),
            "apart": APART * losses.apart(ways, wanted, seen[:, self._first] * seen[:, self._second]),
            "identity": IDENTITY * losses.identity(driving[0], len(driving[0]) // DRIVERS),
            "smooth": ROUGH * losses.roughness(driving[0]),
        }
        if len(driving) > 1:
            coarser = [
                losses.apart(losses.looked_up(grid, at), canonical, seen * self._points)
                for grid in driving[1:]
            ]
            parts["deep"] = DEEP * torch.stack(coarser).mean()
        return parts

    def _ways(self, points: Tensor) -> Tensor:
        """(B, pairs, 2) from the first to the second landmark of each pair of (B, 478, 2)."""
        return points[:, self._second] - points[:, self._first]

    def _deep_pictures(
        self, batch: Batch, driving: list[Tensor], embedding: list[Tensor], wanted: Tensor, embedded: Tensor
    ) -> Tensor:
        """Full-scale deep supervision: each coarser level's own grid makes a picture of its own scale."""
        total = wanted.new_zeros(())
        for drive, embed in zip(driving, embedding, strict=True):
            factor = SIDE // drive.shape[-1]
            made = sample(F.avg_pool2d(embedded.detach(), factor), drive[::DRIVERS])
            total = total + PIXELS * (made - F.avg_pool2d(wanted, factor)).abs().mean()
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
