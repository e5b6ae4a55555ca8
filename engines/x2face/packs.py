"""Batches from the packs that `data` wrote: sources, wanted pictures, and drivers who do the same."""

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from engines.face_params import augmentation
from engines.face_params.arrays import Floats, Pixels
from engines.x2face.data import NAMES, ROOM, STORED
from engines.x2face.network import GRID, SIDE
from engines.x2face.network import SOURCE as LARGE
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import canonical
from xpcam.warping.mesh_warp import MeshRasteriser

Random = np.random.Generator
ACTS_EACH, DRIVERS = 2, 2  # wanted pictures of a source, and drivers of each
FROM_SOURCE = 0.7  # share of the sources that show act 0
MOST = 5.0  # weight of a landmark of the lids
AROUND = np.ones((5, 3), np.uint8)  # cells around a resting eye that count as it does
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


@dataclass(frozen=True, slots=True)
class View:
    """How one pack is seen one time: all of it mirrored or not, each act rolled, each driver framed anew.

    Attributes:
        wanted: [K] of what each act is to look like.
        driver: [I][K] of the pictures that drive.
    """

    mirror: bool
    wanted: list[Placing]
    driver: list[list[Placing]]


def viewed(people: int, acts: int, of: tuple[int, ...]) -> View:
    """The view of a pack that the numbers `of` name: the same whenever it is asked for."""
    rng = np.random.default_rng(of)
    mirror = bool(rng.random() < 0.5)
    rolls = np.clip(rng.normal(0, 0.14, acts), -0.5, 0.5)
    return View(
        mirror,
        [placing(roll, mirror=mirror) for roll in rolls],
        [[shaken(rng, roll, 0.6, mirror) for roll in rolls] for _ in range(people)],
    )


def plainly(people: int, acts: int) -> View:
    """Nothing is turned or shaken."""
    return View(False, [placing()] * acts, [[placing()] * acts] * people)


def acted_by_all(landmarks: Floats, own: Floats) -> Floats:
    """(K, 478, 2) the acts as the embedded face plays them.

    What several people look like in an act, less what their faces have that the embedded one has not: seen as the
    act has it, turned and foreshortened.

    Args:
        landmarks: (I, K, 478, 2) of everybody in each act.
        own: (I, 478, 2) of their own embedded faces.
    """
    common = canonical()
    mean = own.mean(axis=0)
    known = np.column_stack([mean, np.ones(len(mean), np.float32)])
    rows = []
    for points in landmarks.mean(axis=0):
        seen_as = np.linalg.lstsq(known, points, rcond=None)[0][:2]
        rows.append(points - (mean - common) @ seen_as)
    return np.stack(rows).astype(np.float32)


def held_like(acted: Floats) -> Floats:
    """(478, 2) the embedded face at rest, turned and foreshortened as in an act (478, 2)."""
    rigid, face = list(fl.RIGID), np.column_stack([canonical(), np.ones(fl.LANDMARKS, np.float32)])
    return np.asarray(face @ np.linalg.lstsq(face[rigid], acted[rigid], rcond=None)[0], np.float32)


def landmark_weights() -> Floats:
    """(478,) what counts of the landmarks: lids and lips most."""
    weight = np.full(fl.LANDMARKS, 0.5, np.float32)
    weight[[*fl.RIGHT_BROW, *fl.LEFT_BROW, *fl.OUTER_LIPS, *fl.INNER_LIPS]] = 3.0
    weight[[*fl.RIGHT_EYE, *fl.LEFT_EYE]] = MOST
    return weight


class Teacher:
    """Draws the driving grid that an act wants: each triangle of the acting face is filled from the embedded one."""

    def __init__(self) -> None:
        mesh = fl.face_mesh()
        self._raster = MeshRasteriser(mesh.triangles, (GRID, GRID))
        self._depth: Floats = mesh.neutral[: fl.FACE_POINTS, 2].copy()
        values = [(canonical() + 1) / 2, landmark_weights()[:, None] / MOST]
        self._values: Floats = np.hstack(values)[: fl.FACE_POINTS].astype(np.float32)

    def grid(self, acted: Floats, posed: Floats) -> tuple[Floats, Floats]:
        """(2, 128, 128) -1 to 1, and (1, 128, 128) what counts of it: 0 beyond the face.

        Where eyes and mouth are at rest counts as much when they shut as when they open.
        """
        resting = self._drawn(posed)[..., 2:].copy()
        drawn = self._drawn(acted)
        weight = np.where(
            drawn[..., 2:] > 0, np.maximum(drawn[..., 2:], cv2.dilate(resting, AROUND)[..., None]), 0
        )
        return drawn[..., :2].transpose(2, 0, 1) * 2 - 1, weight.transpose(2, 0, 1) * MOST

    def _drawn(self, at: Floats) -> Floats:
        points = (at[: fl.FACE_POINTS] + 1) * (GRID / 2) - 0.5
        return np.asarray(self._raster.draw(np.asarray(points, np.float32), self._values, self._depth))


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
