"""Does an engine give on a GPU what it gives on the CPU? Golden inputs, tolerances, differences."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.resources import shipped

Array = NDArray[Any]

TOLERANCES: Final = {
    "landmarks": 0.3,
    "confidence": 0.01,
    "identity": 0.1,
    "expression": 0.03,
    "texture": 0.1,
    "lighting": 0.03,
    "score": 0.01,
    "geometry": 0.05,
    "transfer": 1.0,
    "grid": 0.004,
}
"""What may differ: pixels of a crop, chances, standard deviations, weights, light, cells, of 255, half crops.

It is what the exports allow between PyTorch and the file that ships.
"""
SHARE: Final = 0.01
"""Of the largest value, for an output that has no line above."""
FACE: Final = (slice(60, 420), slice(140, 500))
"""Where the demo clip has its face."""
MOMENTS: Final = (0, 30, 60, 90, 150, 210, 270)
"""Frames of the demo clip, with different expressions."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference of one output, and how much may be."""

    output: str
    found: float
    allowed: float

    @property
    def too_large(self) -> bool:
        """Not a number counts as too large."""
        return not self.found <= self.allowed

    def __str__(self) -> str:
        return f"{self.output} {self.found:.2g} (<= {self.allowed:.2g})"


def golden_inputs(wanted: Mapping[str, tuple[str, tuple[int, ...]]]) -> list[dict[str, Array]]:
    """The same inputs on every machine: the demo clip's face for pictures, fixed random numbers else.

    Args:
        wanted: dtype and shape by name, a picture being uint8 (1, height, width, channels).

    Raises:
        EngineError: the demo clip is missing.
    """
    random = np.random.default_rng(7)
    return [
        {name: _input(dtype, shape, face, random) for name, (dtype, shape) in wanted.items()}
        for face in _faces()
    ]


def differences(
    wanted: Sequence[Mapping[str, Array]], found: Sequence[Mapping[str, Array]]
) -> tuple[Difference, ...]:
    """The largest absolute difference of each output over all inputs."""
    return tuple(
        _difference(name, [result[name] for result in wanted], [result[name] for result in found])
        for name in wanted[0]
    )


def _difference(name: str, wanted: list[Array], found: list[Array]) -> Difference:
    a, b = np.asarray(wanted, np.float64), np.asarray(found, np.float64)
    allowed = TOLERANCES.get(name, SHARE * max(float(np.abs(a).max()), 1e-6))
    return Difference(name, float(np.abs(a - b).max()), allowed)


def _input(dtype: str, shape: tuple[int, ...], face: Array, random: np.random.Generator) -> Array:
    if dtype == "uint8" and len(shape) == 4:
        small = cv2.resize(face, (shape[2], shape[1]), interpolation=cv2.INTER_AREA)
        channels = [small[..., index % 3] for index in range(shape[3])]
        return np.stack(channels, axis=-1)[None]
    if dtype.startswith("float"):
        return random.random(shape).astype(dtype)
    return random.integers(0, 100, shape).astype(dtype)


@cache
def _faces() -> list[Array]:
    """(360, 360, 3) uint8 BGR each."""
    clip = cv2.VideoCapture(str(shipped("demo.mp4")))
    faces = []
    for index in range(MOMENTS[-1] + 1):
        there, frame = clip.read()
        if there and index in MOMENTS:
            faces.append(np.ascontiguousarray(frame[FACE]))
    clip.release()
    return faces
