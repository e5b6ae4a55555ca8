"""Batches from the packs that `data` wrote: sources, wanted pictures, and drivers who do the same."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engines.face_params import augmentation
from engines.face_params.arrays import Floats, Pixels
from engines.x2face.data import NAMES, ROOM, STORED
from engines.x2face.network import SIDE
from xpcam.face import landmarks as fl

Random = np.random.Generator
ACTS_EACH, DRIVERS = 2, 2  # wanted pictures of a source, and drivers of each
FROM_SOURCE = 0.7  # share of the sources that show act 0
WEBCAM = 0.75  # share of the drivers that a webcam films


@dataclass(frozen=True, slots=True)
class Batch:
    """S sources, W = ACTS_EACH * S wanted pictures, D = DRIVERS * W drivers, each next to those of the same wish.

    Attributes:
        source: (S, 3, 128, 128) BGR, 0 to 255, and so `wanted` (W, ...) and `driver` (D, ...).
        source_at, wanted_at: (S, 478, 2), (W, 478, 2) where their landmarks are, -1 to 1.
        canonical: (S, 478, 2) where those of the embedded face are.
        seen, seen_source: (W, 478), (S, 478) weight of each landmark; 0 where it is hidden.
    """

    source: Tensor
    wanted: Tensor
    driver: Tensor
    source_at: Tensor
    wanted_at: Tensor
    canonical: Tensor
    seen: Tensor
    seen_source: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Placing:
    """An affine map of a crop's coordinates -1 to 1: u -> linear @ u + shift."""

    linear: Floats
    shift: Floats

    def points(self, at: Floats) -> Floats:
        return np.asarray(at @ self.linear.T + self.shift, np.float32)

    def crop(self, stored: Pixels) -> Pixels:
        """(128, 128, 3) of a stored crop."""
        half = SIDE / 2
        linear = self.linear * np.float32(half * ROOM * 2 / STORED)
        offset = half * (self.shift + 1) - 0.5 + linear @ np.full(2, 0.5 - STORED / 2, np.float32)
        matrix = np.column_stack([linear, offset]).astype(np.float32)
        moved = cv2.warpAffine(stored, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
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


class Packs:
    """All packs below a folder, mapped into memory.

    Args:
        folder: what `data` wrote; every folder with arrays below it is taken.
        kind: only those whose name begins so.
    """

    def __init__(self, folder: Path, kind: str = "") -> None:
        parts = sorted(
            path.parent for path in folder.glob(f"{kind}*/seen.npy") if path.parent.suffix != ".part"
        )
        if not parts:
            raise SystemExit(f"{folder}: found no packs, wanted some that engines.x2face.data wrote")
        self._parts = [
            {name: np.load(part / f"{name}.npy", mmap_mode="r") for name in NAMES} for part in parts
        ]
        self._index = [
            (part, pack) for part, arrays in enumerate(self._parts) for pack in range(len(arrays["seen"]))
        ]
        self._mirror = fl.face_mesh().mirror

    def __len__(self) -> int:
        return len(self._index)

    def batch(self, rng: Random, sources: int, alone: bool, plain: bool = False) -> Batch:
        """Random packs.

        Args:
            alone: everybody is driven by their own picture (self-reconstruction).
            plain: nothing is turned, shaken or seen through a webcam, and nobody drives themselves: to be judged on.
        """
        rows: dict[str, list[np.ndarray]] = {name: [] for name in Batch.__slots__}
        for number in rng.choice(len(self._index), sources, replace=len(self._index) < sources):
            part, pack = self._index[number]
            self._add(
                rng, rows, {name: array[pack] for name, array in self._parts[part].items()}, alone, plain
            )
        return Batch(*(tensor_of(np.stack(rows[name])) for name in Batch.__slots__))

    def _add(
        self,
        rng: Random,
        rows: dict[str, list[np.ndarray]],
        pack: dict[str, np.ndarray],
        alone: bool,
        plain: bool,
    ) -> None:
        people, acts = pack["seen"].shape[:2]
        who, mirror = int(rng.integers(people)), not plain and bool(rng.random() < 0.5)
        act = 0 if plain or rng.random() < FROM_SOURCE else int(rng.integers(acts))
        put = placing() if plain else shaken(rng, rng.normal(0, 0.05), 0.7, mirror)
        rows["source"].append(put.crop(pack["images"][who, act]))
        rows["source_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
        rows["canonical"].append(self._points(pack["canonical"][who] * (-1 if mirror else 1, 1), mirror))
        rows["seen_source"].append(self._points(pack["seen"][who, act], mirror))
        for act in rng.choice(np.arange(1, acts), ACTS_EACH, replace=False):
            roll = 0.0 if plain else float(np.clip(rng.normal(0, 0.16), -0.5, 0.5))
            put = placing(roll, mirror=mirror)
            rows["wanted"].append(put.crop(pack["images"][who, act]))
            rows["wanted_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
            rows["seen"].append(self._points(pack["seen"][who, act], mirror))
            others = [one for one in range(people) if one != who] or [who]
            drivers = [who, who] if alone else rng.permutation(others if plain else np.arange(people))
            for driver in np.resize(drivers, DRIVERS):
                put = placing() if plain else shaken(rng, roll, 1.0, mirror)
                crop = put.crop(pack["images"][driver, act])
                clear = plain or rng.random() > WEBCAM
                rows["driver"].append(crop if clear else augmentation.webcam(rng, crop))

    def _points(self, values: np.ndarray, mirror: bool) -> Floats:
        return np.asarray(values[self._mirror] if mirror else values, np.float32)


def tensor_of(rows: np.ndarray) -> Tensor:
    """Pictures as (N, 3, H, W) float, everything else as it is."""
    if rows.dtype == np.uint8:
        return torch.from_numpy(rows).permute(0, 3, 1, 2).float()
    return torch.from_numpy(rows)
