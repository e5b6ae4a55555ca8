"""Crops that the teacher has labelled (`label_warps`), read back as training samples."""

from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.face import landmarks as fl
from xpcam.tracking.crops import CROP, transform

Random = np.random.Generator


class Shards:
    """All crops of some files; two of one portrait lie side by side.

    Attributes:
        landmarks: (N, 478, 3) crop pixels, by the teacher.
        scores: (N, 52) ARKit weights, by the teacher, NaN for tongueOut.
        portrait: (N,) which portrait each shows, over all files.
    """

    def __init__(self, files: list[Path]) -> None:
        parts = [dict(np.load(file, allow_pickle=False)) for file in files]
        self._jpegs = [part["jpeg"] for part in parts]
        self._offsets = [part["offset"] for part in parts]
        counts = [len(part["landmarks"]) for part in parts]
        self._file = np.repeat(np.arange(len(parts)), counts)
        self._row = np.concatenate([np.arange(count) for count in counts])
        self.landmarks: Floats = np.concatenate([part["landmarks"] for part in parts]).astype(np.float32)
        self.scores: Floats = np.concatenate([part["scores"] for part in parts]).astype(np.float32)
        self.portrait = np.concatenate([part["portrait"] + (i << 32) for i, part in enumerate(parts)])

    def __len__(self) -> int:
        return len(self._row)

    def crop(self, index: int) -> Pixels:
        """(256, 256, 3) uint8 BGR."""
        file, row = self._file[index], self._row[index]
        offset = self._offsets[file]
        encoded = self._jpegs[file][offset[row] : offset[row + 1]]
        return np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))

    def portrait_of(self, rng: Random) -> int:
        """The first of two crops of some portrait, every file being drawn from as often."""
        file = int(rng.integers(len(self._jpegs)))
        first, after = np.searchsorted(self._file, (file, file + 1))
        return int(first) + 2 * int(rng.integers((after - first) // 2))

    def sample(self, rng: Random, index: int, mirror: bool) -> tuple[Pixels, Floats]:
        """Crop and landmarks of one entry, placed a little otherwise, mirrored or not."""
        matrix = placed(rng, mirror)
        crop = cv2.warpAffine(self.crop(index), matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
        landmarks = transform(self.landmarks[index], matrix)
        return np.asarray(crop), landmarks[fl.face_mesh().mirror] if mirror else landmarks


def placed(rng: Random, mirror: bool) -> Floats:
    """(2, 3) map of a crop onto one that a tracker might have cut of the same face."""
    middle = (CROP - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 3), float(np.exp(rng.normal(0, 0.03))))
    matrix = matrix + np.array([[0, 0, 1]]) * rng.normal(0, 2.5, (2, 1))
    if mirror:
        matrix = matrix @ np.array([[-1.0, 0, 2 * middle], [0, 1, 0], [0, 0, 1]])
    return np.asarray(matrix, np.float32)
