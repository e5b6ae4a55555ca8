"""How a picture of a pack is seen: placed, rolled, mirrored, framed anew."""

from dataclasses import dataclass

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.x2face.data import ROOM, STORED
from engines.x2face.network import SIDE
from engines.x2face.network import SOURCE as LARGE

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Placing:
    """An affine map of a crop's coordinates -1 to 1: u -> linear @ u + shift."""

    linear: Floats
    shift: Floats

    def points(self, at: Floats) -> Floats:
        return np.asarray(at @ self.linear.T + self.shift, np.float32)

    def crop(self, stored: Pixels, side: int = SIDE) -> Pixels:
        """(side, side, 3) of a stored crop."""
        if stored.shape[0] > 1.5 * STORED * side / LARGE:
            stored = cv2.resize(stored, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        half = side / 2
        linear = self.linear * np.float32(half * ROOM * 2 / stored.shape[0])
        offset = half * (self.shift + 1) - 0.5 + linear @ np.full(2, 0.5 - stored.shape[0] / 2, np.float32)
        matrix = np.column_stack([linear, offset]).astype(np.float32)
        moved = cv2.warpAffine(stored, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, np.uint8)


def placing(
    roll: float = 0.0, zoom: float = 1.0, shift: Floats | None = None, mirror: bool = False
) -> Placing:
    turn = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]]) * zoom
    linear = turn @ np.diag([-1.0 if mirror else 1.0, 1.0])
    return Placing(linear.astype(np.float32), np.zeros(2, np.float32) if shift is None else shift)


def shaken(rng: Random, roll: float, much: float, mirror: bool) -> Placing:
    """About as a tracker would cut the same crop another time."""
    shift = rng.normal(0, 0.03 * much, 2).astype(np.float32)
    return placing(
        roll + rng.normal(0, 0.02 * much), float(np.exp(rng.normal(0, 0.03 * much))), shift, mirror
    )


def views_of(rng: Random, acts: int, plain: bool) -> tuple[bool, list[Placing]]:
    """Whether a pack is mirrored, and how each act is rolled; `plain`: as it is."""
    if plain:
        return False, [placing()] * acts
    mirror = bool(rng.random() < 0.5)
    rolls = np.clip(rng.normal(0, 0.14, acts), -0.5, 0.5)
    return mirror, [placing(roll, mirror=mirror) for roll in rolls]
