"""What one step of training asks of both networks."""

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.x2face import losses
from engines.x2face.heads import GRID
from engines.x2face.network import SIDE, X2Face, sample
from engines.x2face.packs import ACTS_EACH, DRIVERS, Batch, Told
from engines.x2face.teacher import landmark_weights
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import canonical

STRUCTURE = {"l1": "l1", "l1+ssim": "ssim", "l1+ms-ssim": "ms-ssim"}
PIXELS, STRUCTURES, EMBEDDED, DEEP, IDENTITY, ROUGH = 10.0, 1.5, 0.7, 0.35, 0.3, 0.03
DRIVEN, TAUGHT = 0.5, 3.0  # of a driver's act as the tracker read it, and of the embedded face's own
LIDS = tuple(landmark for eye in (fl.RIGHT_EYE, fl.LEFT_EYE) for landmark in eye)
MOVES = (
    (LIDS, 0.022), (fl.INNER_LIPS, 0.04), (fl.OUTER_LIPS, 0.04), ((*fl.RIGHT_BROW, *fl.LEFT_BROW), 0.04),
)  # fmt: skip
"""Landmarks where expression shows, and how far acts move what is there, -1 to 1 over the crop."""
MEASURED = {"lips": ((13, 14), 1), "width": ((61, 291), 0), "eyes": ((159, 386), 1), "brows": ((105, 334), 1)}
"""Where, and along which axis, a judgement compares what is wanted with what the grids do."""


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
        self._points = torch.from_numpy(landmark_weights()).to(device)
        self._pixels = pixel_weights().to(device)
        self._face = torch.from_numpy(canonical()).to(device)

    def __call__(self, network: torch.nn.Module, batch: Batch, more: Told) -> dict[str, Tensor]:
        """The weighted losses by name; without pictures in the batch the driving network alone is run.

        Args:
            more: acts of the embedded face itself.
        """
        pictures, drivers = len(batch.source) > 0, len(batch.driver)
        told = more.acted.repeat_interleave(DRIVERS, 0)  # of so many one is decoded
        with torch.autocast(batch.driver.device.type, torch.bfloat16, enabled=batch.driver.is_cuda):
            embedding, both, code = network(
                batch.source.contiguous(memory_format=torch.channels_last) if pictures else None,
                torch.cat([batch.driver, told]),
                DRIVERS,
            )
        count = drivers // DRIVERS
        embedding = [grid.float() for grid in embedding]
        driving, taught = [grid[:count].float() for grid in both], [grid[count:].float() for grid in both]
        parts = {
            "driven": DRIVEN * followed(driving, batch),
            "taught": TAUGHT * followed(taught, more),
            "identity": IDENTITY * losses.identity(code[:drivers].float(), count),
            "smooth": ROUGH * losses.roughness(driving[0]),
        }
        if pictures:
            parts |= self._made(batch, embedding, driving)
        return parts

    def _made(self, batch: Batch, embedding: list[Tensor], driving: list[Tensor]) -> dict[str, Tensor]:
        """What the embedding network and the pictures add."""
        face = self._face.expand(len(batch.source), -1, -1)
        embedded_at = losses.apart(
            losses.looked_up(embedding[0], face), batch.source_at, batch.seen_source * self._points
        )
        picture, wanted = batch.source / 255, batch.wanted / 255
        embedded = sample(picture, embedding[0]).repeat_interleave(ACTS_EACH, 0)
        shape = losses.carried(batch.wanted_at, batch.acted)
        made = sample(embedded, sample(driving[0], shape))  # by the first driver of each wish
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
                batch, driving[1:], embedding[1:], shape, embedded
            )
        return parts

    def _deep_pictures(
        self, batch: Batch, driving: list[Tensor], embedding: list[Tensor], shape: Tensor, embedded: Tensor
    ) -> Tensor:
        """Full-scale deep supervision: each coarser level's own grid makes a picture of its own scale."""
        wanted, total = batch.wanted / 255, embedded.new_zeros(())
        face = self._face.expand(len(batch.source), -1, -1)
        for drive, embed in zip(driving, embedding, strict=True):
            factor = SIDE // drive.shape[-1]
            at = sample(drive, F.avg_pool2d(shape, factor))
            made = sample(F.avg_pool2d(embedded.detach(), factor), at)
            total = total + PIXELS * (made - F.avg_pool2d(wanted, factor)).abs().mean()
            shown = losses.looked_up(embed, face)
            total = total + losses.apart(shown, batch.source_at, batch.seen_source * self._points)
        return total / len(driving)


def followed(driving: list[Tensor], batch: Batch | Told) -> Tensor:
    """It is known where each triangle of the embedded face goes: how far the driving grids say something else, and what
    lies between two acts besides; of the coarser ones a little."""
    wanted, weight = batch.grid, batch.weight
    total = losses.grids_apart(driving[0], wanted, weight) + between(driving[0] - wanted, batch.posed)
    if len(driving) > 1:
        coarser = [
            losses.grids_apart(
                grid, *(F.avg_pool2d(value, GRID // grid.shape[-1]) for value in (wanted, weight))
            )
            for grid in driving[1:]
        ]
        total = total + DEEP * torch.stack(coarser).mean()
    return total


def between(off: Tensor, posed: Tensor) -> Tensor:
    """How falsely two acts of the same driver differ where lids, lips and brows are: that is what is seen of expression.

    Args:
        off: (W, 2, h, w) what a grid has too much.
        posed: (W, 478, 2) the resting face's landmarks.
    """
    parts = []
    for landmarks, spread in MOVES:
        there = losses.looked_up(off, posed[:, list(landmarks)])
        acts = there.view(-1, ACTS_EACH, len(landmarks), 2)
        parts.append((acts[:, 1:] - acts[:, :-1]).abs().mean() / spread)
    return torch.stack(parts).mean()


@torch.no_grad()
def judged(network: X2Face, batch: Batch) -> tuple[dict[str, float], Tensor]:
    """What a held-out batch says, drivers of other identities, and the (W, 3, 128, 128) pictures made.

    SSIM of what is made against the wanted picture beside that of the source merely copied; how far the landmarks are
    off, in cells of a grid of 64, with both networks in a row and without any motion; of what lies between two acts of
    the same driver, correlation of what arrives.
    """
    embedding, driving, _ = network(batch.source, batch.driver)
    picture, wanted = batch.source / 255, batch.wanted / 255
    many = (ACTS_EACH, 0)
    embedded = sample(picture, embedding[0]).repeat_interleave(*many)
    first = driving[0][::DRIVERS]
    made = sample(embedded, sample(first, losses.carried(batch.wanted_at, batch.acted)))
    copied = picture.repeat_interleave(*many)
    weight = batch.seen * torch.from_numpy(landmark_weights()).to(picture.device)
    through = losses.looked_up(embedding[0].repeat_interleave(*many), losses.looked_up(first, batch.acted))
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
    return {name: float(value) for name, value in rows.items()} | arriving(driving[0], batch), made


def arriving(driving: Tensor, batch: Batch) -> dict[str, float]:
    """Of what lies between two acts of the same driver, where the resting face is: correlation, and how much arrives."""
    posed, wanted = (value.repeat_interleave(DRIVERS, 0) for value in (batch.posed, batch.grid))
    row = {}
    for name, (landmarks, axis) in MEASURED.items():
        both = []
        for grid in (wanted, driving):
            there = losses.looked_up(grid, posed[:, list(landmarks)])[..., axis]
            acts = there.view(-1, ACTS_EACH, DRIVERS, len(landmarks))
            both.append((acts[:, 1] - acts[:, 0]).flatten())
        row[name] = float(torch.corrcoef(torch.stack(both))[0, 1])
        row[f"{name}_spread"] = float(both[1].std() / both[0].std())
    return row
