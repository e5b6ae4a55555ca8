"""Batches from the packs that `data` wrote: sources, wanted pictures, and drivers who do the same."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from engines.face_params.arrays import Floats
from engines.x2face.acts import Actor
from engines.x2face.data import NAMES, READ, SCORES
from engines.x2face.teacher import Teacher, acted_by_all, held_like
from engines.x2face.views import placing, shaken, views_of
from xpcam.face import landmarks as fl

Random = np.random.Generator
ACTS_EACH, DRIVERS = 2, 2  # wanted pictures of a source, and drivers of each
FROM_SOURCE = 0.7  # share of the sources that show act 0


@dataclass(frozen=True, slots=True)
class Batch:
    """S sources, W = ACTS_EACH * S wanted pictures, D = DRIVERS * W drivers, each next to those of the same wish.

    Attributes:
        source: (S, 3, 128, 128) BGR, 0 to 255, and so `wanted`, `filmed` (W, ...), the latter of the first driver of each;
            empty where no pictures were asked for.
        driver: (D, 478, 2) where the embedded face's landmarks are, -1 to 1, going by what the tracker read of a driver.
        source_at: (S, 478, 2) where their landmarks are, -1 to 1, and so `wanted_at` (W, ...).
        acted: (W, 478, 2) where those of the embedded face are in the same act.
        posed: (W, 478, 2) where they would be if it did nothing but hold its head so.
        grid: (W, 2, 128, 128) the driving grid that is wanted.
        weight: (W, 1, 128, 128) what counts of it; little where no face is.
        seen, seen_source: (W, 478), (S, 478) weight of each landmark; 0 where it is hidden.
    """

    source: Tensor
    wanted: Tensor
    filmed: Tensor
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


@dataclass(frozen=True, slots=True)
class Told:
    """Acts of the embedded face, two of each face next to each other: `acted` is without error. All as in `Batch`."""

    acted: Tensor
    posed: Tensor
    grid: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Told":
        return Told(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


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
        self._read = [readings(part, arrays) for part, arrays in zip(self.parts, self._arrays, strict=True)]
        self._index = [
            (part, pack) for part, arrays in enumerate(self._arrays) for pack in range(len(arrays["seen"]))
        ]
        self._mirror = fl.face_mesh().mirror
        self._teacher = Teacher()
        scores = folder / SCORES
        self._actor = Actor(np.load(scores)) if scores.is_file() else None

    def __len__(self) -> int:
        return len(self._index)

    def batch(
        self, rng: Random, sources: int, alone: bool, plain: bool = False, pictures: bool = True
    ) -> Batch:
        """Random packs.

        Args:
            alone: everybody is driven by their own picture (self-reconstruction).
            plain: nothing is turned or mirrored, and nobody drives themselves: to be judged on.
            pictures: with `source`, `wanted` and `filmed`.
        """
        rows: dict[str, list[np.ndarray]] = {name: [] for name in Batch.__slots__}
        for number in rng.choice(len(self._index), sources, replace=len(self._index) < sources):
            part, pack = self._index[number]
            self._add(rng, rows, part, pack, alone, plain, pictures)
        return Batch(*(tensor_of(rows[name]) for name in Batch.__slots__))

    def told(self, rng: Random, pairs: int) -> Told:
        """Random acts: of the embedded face, or where no portraits were at hand, of the packs."""
        if self._actor is None:
            batch = self.batch(rng, pairs, alone=False, pictures=False)
            return Told(batch.acted, batch.posed, batch.grid, batch.weight)
        rows = []
        for acted in np.concatenate([self._actor.pair(rng) for _ in range(pairs)]):
            posed = held_like(acted)
            rows.append((acted, posed, *self._teacher.grid(acted, posed)))
        return Told(*(tensor_of(list(column)) for column in zip(*rows, strict=True)))

    def _add(
        self,
        rng: Random,
        rows: dict[str, list[np.ndarray]],
        part: int,
        number: int,
        alone: bool,
        plain: bool,
        pictures: bool,
    ) -> None:
        pack = {name: array[number] for name, array in self._arrays[part].items() if name != "images"}
        images, own = self._arrays[part]["images"][number], pack["canonical"].astype(np.float32)
        people, acts = pack["seen"].shape[:2]
        mirror, placed = views_of(rng, acts, plain)
        who = int(rng.integers(people))
        act = 0 if plain or rng.random() < FROM_SOURCE else int(rng.integers(acts))
        put = placing() if plain else shaken(rng, rng.normal(0, 0.05), 0.7, mirror)
        if pictures:
            rows["source"].append(put.crop(images[who, act]))
        rows["source_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
        rows["seen_source"].append(self._points(pack["seen"][who, act], mirror))
        others = [one for one in range(people) if one != who] or [who]
        chosen = [who, who] if alone else rng.permutation(others if plain else np.arange(people))
        drivers = np.resize(chosen, DRIVERS)
        for act in rng.choice(np.arange(1, acts), ACTS_EACH, replace=False):
            put = placed[act]
            if pictures:
                rows["wanted"].append(put.crop(images[who, act]))
                rows["filmed"].append(put.crop(images[drivers[0], act]))
            rows["wanted_at"].append(self._points(put.points(pack["landmarks"][who, act]), mirror))
            acted = self._points(put.points(self._acted[part][number, act]), mirror)
            rows["acted"].append(acted)
            posed = held_like(acted)
            rows["posed"].append(posed)
            grid, weight = self._teacher.grid(acted, posed)
            rows["grid"].append(grid)
            rows["weight"].append(weight)
            rows["seen"].append(self._points(pack["seen"][:, act].mean(axis=0), mirror))
            for driver in drivers:
                read = self._read[part][number, driver, act].astype(np.float32)
                played = acted_by_all(read[None, None], own[driver][None])[0]
                rows["driver"].append(self._points(put.points(played), mirror))

    def _points(self, values: np.ndarray, mirror: bool) -> Floats:
        return np.asarray(values[self._mirror] if mirror else values, np.float32)


def readings(part: Path, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """(P, I, K, 478, 2) what `reading` wrote of a part, and the truth where it could not read, or was not run."""
    path = part / READ
    if not path.is_file():
        return arrays["landmarks"]
    read = np.load(path)
    return np.where(np.isfinite(read), read, arrays["landmarks"])


def tensor_of(rows: list[np.ndarray]) -> Tensor:
    """Pictures, (H, W, 3) uint8, as (N, 3, H, W) float, everything else as it is."""
    if not rows:
        return torch.empty(0)
    stacked = np.stack(rows)
    if stacked.dtype == np.uint8:
        return torch.from_numpy(stacked).permute(0, 3, 1, 2).float()
    return torch.from_numpy(stacked)
