"""What it saves to embed a face beforehand, measured in one run."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from xpcam.face.embedded_face import canonical
from xpcam.face.head_crop import face_height
from xpcam.frame import Pose
from xpcam.warping.grids import CELLS, identity
from xpcam.x2face.embedding import SIDE, Runs
from xpcam.x2face.fitting import unfitted
from xpcam.x2face.placing import Placer

ROUNDS: Final = 30
TALL: Final = 0.55  # height of the face in heights of the picture


@dataclass(frozen=True, slots=True)
class Saving:
    """Times in milliseconds: the least of many rounds, which another program's work changes least.

    Attributes:
        backbone: whose networks.
        embedding_ms: the embedding network.
        driving_ms: the driving network.
        sampling_ms: the target's picture made from both grids.
        ratio: both networks to the driving network alone, which is what a frame takes of an embedded face.
    """

    backbone: str
    embedding_ms: float
    driving_ms: float
    sampling_ms: float
    ratio: float


def saving(backbone: str, embedding: Runs, driving: Runs, size: tuple[int, int]) -> Saving:
    """Time both networks and the sampling in turn.

    Args:
        backbone: whose networks they are.
        embedding, driving: the networks, warm.
        size: (width, height) of the target's picture, pixels.
    """
    random = np.random.default_rng(0)
    source = random.integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    picture = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
    middle = np.array(size, np.float32) / np.float32(2)
    head = Pose(np.zeros(3, np.float32), middle, TALL * size[1] / face_height())
    placer = Placer(picture, (0, 0, *size), head, [unfitted(identity(CELLS))], [identity(CELLS)])
    steps: tuple[Callable[[], object], ...] = (
        lambda: embedding.run({"source": source}),
        lambda: driving.run({"landmarks": canonical()[None]}),
        lambda: placer.place(identity(CELLS)),
    )
    rounds = [[_timed(step) for step in steps] for _ in range(ROUNDS)]
    embedding_ms, driving_ms, sampling_ms = (float(value) for value in np.min(rounds, axis=0))
    ratio = (embedding_ms + driving_ms) / driving_ms
    return Saving(backbone, embedding_ms, driving_ms, sampling_ms, ratio)


def _timed(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return 1e3 * (time.perf_counter() - began)
