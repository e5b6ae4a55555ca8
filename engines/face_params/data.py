"""Training data: labelled generated portraits, and an endless stream of augmented crops of them.

The data folder holds `faces/` (pictures) and `faces_labels.npz` with `files` (N,), `origin` (N,), `landmarks`
(N, 478, 3) int16 with `landmarks_scale`, `blendshapes` (N, 52) whose first is `_neutral`. With ICT-FaceKit in
`ict_facekit.npz` beside them (`mouth_mesh`), most opened mouths are rendered, else all are painted.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from engines.face_params import augmentation, face_free, makeup, warping
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.mouth_mesh import MouthMesh, load_mouth
from engines.face_params.opened_mouths import OpenedMouths
from engines.face_params.shards import Shards
from xpcam.face import landmarks as fl
from xpcam.tracking.crops import CROP, crop_matrix, face_square, transform

Random = np.random.Generator
TEST_PEOPLE = ("P008", "P009", "P010")
TAUGHT = 0.75  # share of the pairs that come from shards, where there are any
DUPLICATE = 0.985  # correlation of two small grey face crops that are the same picture


@dataclass(frozen=True, slots=True)
class Portraits:
    """Pictures with (N, 478, 3) landmarks in their pixels, (N, 51) ARKit weights, sampling weights (N,).

    `people` (N,) names the person where several pictures show the same one, else it is empty. `mouth` is what
    mouths that open are rendered from.
    """

    pictures: list[Pixels]
    landmarks: Floats
    scores: Floats
    weights: Floats
    people: Floats
    mouth: MouthMesh | None = None


def is_test(file: str, origin: str) -> bool:
    """The fixed test split: three held-out people and 1 in 20 of the other pictures, by hash of the name."""
    if file.startswith("opencells"):
        return origin.startswith(TEST_PEOPLE)
    return zlib.crc32(file.encode()) % 20 == 0


def thumbnail(picture: Pixels, landmarks: Floats) -> Floats:
    crop = cv2.warpAffine(picture, crop_matrix(*face_square(landmarks)), (CROP, CROP))
    small = cv2.resize(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), (20, 20), interpolation=cv2.INTER_AREA).astype(
        np.float32
    )
    small = small.ravel() - small.mean()
    return small / max(float(np.linalg.norm(small)), 1e-6)


def load(folder: Path) -> tuple[Portraits, Portraits]:
    """Training and test portraits; training pictures that nearly equal a test picture are left out."""
    labels = np.load(folder / "faces_labels.npz", allow_pickle=False)
    files, origins = [str(f) for f in labels["files"]], [str(o) for o in labels["origin"]]
    landmarks = labels["landmarks"].astype(np.float32) * np.float32(labels["landmarks_scale"])
    scores = labels["blendshapes"][:, 1:].astype(np.float32)
    pictures = [np.asarray(cv2.imread(str(folder / "faces" / name), cv2.IMREAD_COLOR)) for name in files]
    small = np.stack([thumbnail(p, points) for p, points in zip(pictures, landmarks, strict=True)])
    test = np.array([is_test(f, o) for f, o in zip(files, origins, strict=True)])
    twin = (small @ small[test].T).max(axis=1) > DUPLICATE
    names = [o[:4] if f.startswith("opencells") else "" for f, o in zip(files, origins, strict=True)]
    people = np.array(names)
    weights = 1.0 + 2.0 * (people != "") + 2.5 * (lip_gap(landmarks) > 0.02)

    mouths = folder / "ict_facekit.npz"
    mouth = load_mouth(mouths) if mouths.is_file() else None

    def part(rows: np.ndarray) -> Portraits:
        index = np.flatnonzero(rows)
        chosen = weights[index] / weights[index].sum()
        return Portraits(
            [pictures[i] for i in index], landmarks[index], scores[index], chosen, people[index], mouth
        )

    return part(~test & ~twin), part(test)


def lip_gap(landmarks: Floats) -> Floats:
    """(N,) opening between the inner lips in outer-eye distances."""
    gap = np.linalg.norm(landmarks[:, 13, :2] - landmarks[:, 14, :2], axis=1)
    return np.asarray(gap / np.linalg.norm(landmarks[:, 33, :2] - landmarks[:, 263, :2], axis=1))


def mean_crop_shape(portraits: Portraits) -> Floats:
    """(478, 3) mean landmarks in crop pixels, the crop cut as at run time."""
    rows = [transform(points, crop_matrix(*face_square(points))) for points in portraits.landmarks]
    return np.asarray(np.mean(rows, axis=0, dtype=np.float32))


def about_centre(linear: np.ndarray) -> np.ndarray:
    """(3, 3) homogeneous map that applies `linear` (2, 2) about the crop's centre."""
    middle = np.full(2, (CROP - 1) / 2)
    full = np.eye(3)
    full[:2, :2], full[:2, 2] = linear, middle - linear @ middle
    return full


def random_crop(rng: Random, landmarks: Floats, mirror: bool) -> Floats:
    """(2, 3) map to a crop such as a tracker cuts: a little off in place, size and roll, at times squashed."""
    centre, side, roll = face_square(landmarks)
    wide = 3.0 if rng.random() < 0.2 else 1.0
    centre[:] += np.clip(rng.normal(0, 0.025 * wide, 2), -0.12, 0.12) * side
    side = side * float(np.exp(np.clip(rng.normal(0, 0.04 * wide), -0.25, 0.25)))
    roll = roll + float(np.radians(np.clip(rng.normal(0, 4 * wide), -25, 25)))
    full = np.eye(3)
    full[:2] = crop_matrix(centre.astype(np.float32), side, roll)
    linear = np.diag((rng.uniform(0.85, 1.1), 1.0)) if rng.random() < 0.3 else np.eye(2)
    if mirror:
        linear = linear @ np.diag((-1.0, 1.0))
    return np.asarray((about_centre(linear) @ full)[:2], np.float32)


class CropMaker:
    """Makes one training sample after another from portraits."""

    def __init__(
        self,
        portraits: Portraits,
        seed: int,
        warped: float = 0.68,
        negatives: float = 0.07,
        shards: Shards | None = None,
    ) -> None:
        self._data, self._rng = portraits, np.random.default_rng(seed)
        self._shards = shards
        self._warper, self._mouths = warping.Warper(), OpenedMouths(portraits.mouth)
        self._warped, self._negatives = warped, negatives
        self._mirror = fl.face_mesh().mirror

    def twins(self) -> list[tuple[Pixels, Floats, bool]]:
        """Two samples of one portrait, their expressions, poses and cameras drawn apart."""
        if self._shards is not None and self._rng.random() < TAUGHT:
            return self.taught(self._shards)
        index = int(self._rng.choice(len(self._data.pictures), p=self._data.weights))
        return [self.sample(index), self.sample(index)]

    def sample(self, index: int | None = None) -> tuple[Pixels, Floats, bool]:
        """(256, 256, 3) crop, (478, 3) landmarks in its pixels, whether there is a face (else zeros)."""
        rng = self._rng
        if rng.random() < self._negatives:
            return self.negative(), np.zeros((fl.LANDMARKS, 3), np.float32), False
        if index is None:
            index = int(rng.choice(len(self._data.pictures), p=self._data.weights))
        crop, landmarks = self.face(index, rng.random() < self._warped)
        return self.before_a_camera(crop, landmarks), landmarks, True

    def taught(self, shards: Shards) -> list[tuple[Pixels, Floats, bool]]:
        """Two samples of one portrait that the teacher has labelled."""
        first = shards.portrait_of(self._rng)
        mirror = bool(self._rng.random() < 0.5)
        pair = [shards.sample(self._rng, index, mirror) for index in (first, first + 1)]
        return [(self.before_a_camera(crop, landmarks), landmarks, True) for crop, landmarks in pair]

    def before_a_camera(self, crop: Pixels, landmarks: Floats) -> Pixels:
        """Make-up, glasses, hands, and a webcam's picture of it all; `crop` is written."""
        rng = self._rng
        colours = rng.random()
        if colours < 0.35:
            makeup.lips(rng, crop, landmarks)
        elif colours < 0.6:
            makeup.pigment(rng, crop, landmarks)
        if rng.random() < 0.25:
            makeup.beard(rng, crop, landmarks)
        eyes = landmarks[[[33, 133], [362, 263]], :2].mean(axis=1)
        if rng.random() < 0.06:
            augmentation.glasses(rng, crop, eyes)
        if rng.random() < 0.12:
            augmentation.occlude(rng, crop)
        return augmentation.webcam(rng, crop)

    def face(self, index: int, warped: bool) -> tuple[Pixels, Floats]:
        rng = self._rng
        picture, landmarks = self._data.pictures[index], self._data.landmarks[index]
        border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_REPLICATE
        mirror = rng.random() < 0.5
        if warped:
            warp = warping.random_warp(rng, landmarks, self._data.scores[index], self._data.scores)
            matrix = random_crop(rng, warp.after, mirror)
            crop = self._warper.render(picture, warp, matrix, border)
            landmarks = transform(warp.after, matrix)
            self._mouths.fill(rng, crop, warp, self._data.scores[index], matrix)
        else:
            matrix = random_crop(rng, landmarks, mirror)
            crop = cv2.warpAffine(picture, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=border)
            landmarks = transform(landmarks, matrix)
        return crop, landmarks[self._mirror] if mirror else landmarks

    def negative(self) -> Pixels:
        """A crop without a face, or with one so badly placed that the tracker must not trust it."""
        rng = self._rng
        index = int(rng.integers(len(self._data.pictures)))
        picture, landmarks = self._data.pictures[index], self._data.landmarks[index]
        kind = rng.random()
        centre, side, roll = face_square(landmarks)
        if rng.random() < 0.25:  # the head without its face
            matrix = crop_matrix(centre, side * float(rng.uniform(0.8, 1.3)), roll)
            picture = face_free.destroyed(rng, picture, landmarks)
            crop = cv2.warpAffine(picture, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
        elif kind < 0.55:  # beside the face, or the face far too large or small
            if rng.random() < 0.7:
                angle = rng.uniform(0, 2 * np.pi)
                centre[:] += np.array((np.cos(angle), np.sin(angle))) * side * rng.uniform(0.75, 1.6)
                side *= float(rng.uniform(0.4, 1.1))
            else:
                side *= float(rng.uniform(2.6, 4.0) if rng.random() < 0.5 else rng.uniform(0.15, 0.38))
            matrix = crop_matrix(centre.astype(np.float32), side, roll + float(rng.normal(0, 0.4)))
            crop = cv2.warpAffine(picture, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
        else:
            crop = cv2.warpAffine(
                picture, crop_matrix(centre, side, roll), (CROP, CROP), borderMode=cv2.BORDER_REFLECT
            )
            crop = face_free.shuffled(rng, crop) if kind < 0.75 else face_free.texture(rng, CROP)
        return augmentation.webcam(rng, crop)


class CropStream(IterableDataset):
    """Batches without end: images (B, 256, 256, 3) uint8, landmarks (B, 478, 3), face (B,) float.

    Samples 2k and 2k + 1 show the same portrait.
    """

    def __init__(self, portraits: Portraits, batch: int, seed: int, shards: Shards | None = None) -> None:
        super().__init__()
        self._portraits, self._batch, self._seed, self._shards = portraits, batch, seed, shards

    def seed_again(self, seed: int) -> None:
        """Draw other samples from here on (a resumed run must not repeat its first ones)."""
        self._seed = seed

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        seed = self._seed * 1000 + (worker.id if worker else 0)
        maker = CropMaker(self._portraits, seed, shards=self._shards)
        while True:
            samples = [sample for _ in range(self._batch // 2) for sample in maker.twins()]
            images, landmarks, faces = zip(*samples, strict=True)
            yield (
                torch.from_numpy(np.stack(images)),
                torch.from_numpy(np.stack(landmarks)),
                torch.tensor(faces, dtype=torch.float32),
            )
