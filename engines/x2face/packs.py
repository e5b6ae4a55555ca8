"""Batches from the packs that `data` wrote: sources, wanted pictures, and drivers who do the same."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.face_params import augmentation
from engines.face_params.arrays import Floats, Pixels
from engines.x2face.data import NAMES
from engines.x2face.network import SOURCE as LARGE
from engines.x2face.teacher import Teacher, acted_by_all, held_like
from engines.x2face.views import View, placing, plainly, shaken, viewed
from xpcam.face import landmarks as fl

Random = np.random.Generator
ACTS_EACH, DRIVERS = 2, 2  # wanted pictures of a source, and drivers of each
FROM_SOURCE = 0.7  # share of the sources that show act 0
WEBCAM = 0.75  # share of the drivers that a webcam films


@dataclass(frozen=True, slots=True)
class Batch:
    """S sources, W = ACTS_EACH * S wanted pictures, D = DRIVERS * W drivers, each next to those of the same wish.

    Attributes:
        source: (S, 3, 128, 128) BGR, 0 to 255, and so `wanted` (W, ...); both empty where no pictures were asked for.
        driver: (D, 3, 256, 256), or (D, 80, 16, 16) what the first layers make of it.
        source_at: (S, 478, 2) where their landmarks are, -1 to 1, and so `wanted_at` (W, ...).
        acted: (W, 478, 2) where those of the embedded face would be in the same act.
        posed: (W, 478, 2) where they would be if it did nothing but hold its head so.
        grid: (W, 2, 128, 128) the driving grid that is wanted, where a face is.
        weight: (W, 1, 128, 128) what counts of it; 0 where no face is.
        seen, seen_source: (W, 478), (S, 478) weight of each landmark; 0 where it is hidden.
    """

    source: Tensor
    wanted: Tensor
    driver: Tensor
    source_at: Tensor
    wanted_at: Tensor
    acted: Tensor
    posed: Tensor
    grid: Tensor
    weight: Tensor
    seen: Tensor
    seen_source: Tensor

    def to(self, device: torch.device) -> "Batch":
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


class Packs:
    """All packs below a folder, mapped into memory.

    Args:
        folder: what `data` wrote; every folder with arrays below it is taken.
        kind: only those whose name begins so.
    """

    def __init__(self, folder: Path, kind: str = "") -> None:
        self.parts = sorted(
            path.parent for path in folder.glob(f"{kind}*/seen.npy") if path.parent.suffix != ".part"
        )
        if not self.parts:
            raise SystemExit(f"{folder}: found no packs, wanted some that engines.x2face.data wrote")
        self._arrays = [
            {name: np.load(part / f"{name}.npy", mmap_mode="r") for name in NAMES} for part in self.parts
        ]
        self._acted = [
            np.stack(
                [
                    acted_by_all(played.astype(np.float32), own.astype(np.float32))
                    for played, own in zip(a["landmarks"], a["canonical"], strict=True)
                ]
            )
            for a in self._arrays
        ]
        self._index = [
            (part, pack) for part, arrays in enumerate(self._arrays) for pack in range(len(arrays["seen"]))
        ]
        self._mirror = fl.face_mesh().mirror
        self._teacher = Teacher()
        self._features: list[list[np.ndarray]] = []
        self.look_again()

    def __len__(self) -> int:
        return len(self._index)

    def packs_of(self, part: int) -> int:
        """How many packs a part holds."""
        return len(self._arrays[part]["seen"])

    def look_again(self) -> None:
        """Find what `features` wrote since."""
        self._features = [
            [np.load(path, mmap_mode="r") for path in sorted(part.glob("features-??.npy"))]
            for part in self.parts
        ]

    def view(self, part: int, pack: int, version: int) -> View:
        """The view of a pack that `features` kept as its `version`."""
        people, acts = self._arrays[part]["seen"].shape[1:3]
        return viewed(people, acts, (zlib.crc32(self.parts[part].name.encode()), pack, version))

    def filmed(
        self, rng: Random, part: int, pack: int, view: View, who: int, act: int, plain: bool = False
    ) -> Pixels:
        """(256, 256, 3) somebody's act, mostly as a webcam has it."""
        crop = view.driver[who][act].crop(self._arrays[part]["images"][pack, who, act], LARGE)
        return crop if plain or rng.random() > WEBCAM else augmentation.webcam(rng, crop)

    def batch(
        self,
        rng: Random,
        sources: int,
        alone: bool,
        plain: bool = False,
        pictures: bool = True,
        unseen: bool = False,
        drivers: bool = True,
    ) -> Batch:
        """Random packs.

        Args:
            alone: everybody is driven by their own picture (self-reconstruction).
            plain: nothing is turned, shaken or seen through a webcam, and nobody drives themselves: to be judged on.
            pictures: with `source` and `wanted`.
            unseen: drivers as pictures, whatever `features` kept.
            drivers: with `driver`.
        """
        rows: dict[str, list[np.ndarray]] = {name: [] for name in Batch.__slots__}
        usable = (
            [i for i, (part, _) in enumerate(self._index) if self._features[part]]
            if not (plain or unseen)
            else []
        )
        usable = usable or list(range(len(self._index)))
        for number in rng.choice(usable, sources, replace=len(usable) < sources):
            part, pack = self._index[number]
            self._add(rng, rows, part, pack, alone, plain, pictures, unseen, drivers)
        return Batch(*(tensor_of(rows[name]) for name in Batch.__slots__))

    def _add(
        self,
        rng: Random,
        rows: dict[str, list[np.ndarray]],
        part: int,
        number: int,
        alone: bool,
        plain: bool,
        pictures: bool,
        unseen: bool,
        with_drivers: bool,
    ) -> None:
        pack = {name: array[number] for name, array in self._arrays[part].items() if name != "images"}
        images, kept = self._arrays[part]["images"][number], [] if plain or unseen else self._features[part]
        people, acts = pack["seen"].shape[:2]
        version = int(rng.integers(len(kept))) if kept else int(rng.integers(1 << 30))
        view = plainly(people, acts) if plain else self.view(part, number, version)
        mirror, who = view.mirror, int(rng.integers(people))
        act = 0 if plain or rng.random() < FROM_SOURCE else int(rng.integers(acts))
        put = placing() if plain else shaken(rng, rng.normal(0, 0.05), 0.7, mirror)
        if pictures:
            rows["source"].append(put.crop(images[who, act]))
        rows["source_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
        rows["seen_source"].append(self._points(pack["seen"][who, act], mirror))
        others = [one for one in range(people) if one != who] or [who]
        drivers = [who, who] if alone else rng.permutation(others if plain else np.arange(people))
        for act in rng.choice(np.arange(1, acts), ACTS_EACH, replace=False):
            put = view.wanted[act]
            if pictures:
                rows["wanted"].append(put.crop(images[who, act]))
            rows["wanted_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
            acted = self._points(put.points(self._acted[part][number, act]), mirror)
            rows["acted"].append(acted)
            posed = held_like(acted)
            rows["posed"].append(posed)
            grid, weight = self._teacher.grid(acted, posed)
            rows["grid"].append(grid)
            rows["weight"].append(weight)
            rows["seen"].append(self._points(pack["seen"][:, act].mean(axis=0), mirror))
            for driver in np.resize(drivers, DRIVERS) if with_drivers else ():
                rows["driver"].append(
                    kept[version][number, driver, act]
                    if kept
                    else self.filmed(rng, part, number, view, driver, act, plain)
                )

    def _points(self, values: np.ndarray, mirror: bool) -> Floats:
        return np.asarray(values[self._mirror] if mirror else values, np.float32)


def tensor_of(rows: list[np.ndarray]) -> Tensor:
    """Pictures and features, (H, W, C) uint8 and float16, as (N, C, H, W) float, everything else as it is."""
    if not rows:
        return torch.empty(0)
    stacked = np.stack(rows)
    if stacked.dtype in (np.uint8, np.float16):
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float()
    return torch.from_numpy(stacked)
