"""Find faces anywhere in a picture, roughly: where, how large, how tilted."""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats, Pixels

SIDE, STRIDE = 320, 8  # of the detector's picture and of its cells, pixels
UNIT = 32.0  # the side whose logarithm is 0
THRESHOLD = 0.35
MOST = 8  # faces looked at


class Runs(Protocol):
    """What is needed of `inference.engine.Engine`."""

    def run(self, inputs: dict[str, NDArray[np.uint8]]) -> dict[str, Floats]: ...


@dataclass(frozen=True, slots=True)
class Detection:
    """A place that looks like a face.

    Attributes:
        centre: (2,) pixels.
        side: longer side of the face, pixels.
        roll: radians, positive clockwise.
        score: 0 to 1.
    """

    centre: Floats
    side: float
    roll: float
    score: float


class FaceDetector:
    """Looks at a whole picture at once, shrunk into 320x320."""

    def __init__(self, engine: Runs) -> None:
        self._engine = engine
        self._canvas = np.zeros((1, SIDE, SIDE, 3), np.uint8)

    def detect(self, pixels: Pixels, share: float = 1.0) -> list[Detection]:
        """Faces in a (H, W, 3) picture, best first.

        Args:
            share: part of the detector's picture to use; less than 1 finds faces that fill the picture.
        """
        height, width = pixels.shape[:2]
        scale = SIDE * share / max(height, width)
        size = max(1, round(width * scale)), max(1, round(height * scale))
        self._canvas.fill(0)
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        self._canvas[0, : size[1], : size[0]] = small
        result = self._engine.run({"image": self._canvas})
        found = decode(result["score"][0, 0], result["geometry"][0])
        return [
            Detection((d.centre + 0.5) / np.float32(scale) - np.float32(0.5), d.side / scale, d.roll, d.score)
            for d in found
        ]


def decode(score: Floats, geometry: Floats) -> list[Detection]:
    """Peaks of a score map (40, 40) with geometry (5, 40, 40), in the detector's pixels, best first.

    Geometry: offset of the centre from the cell's in cells (x, y), log of side / 32, sine and cosine of roll.
    """
    peaks = (score > THRESHOLD) & (score >= cv2.dilate(score, np.ones((3, 3), np.uint8)))
    rows, columns = np.nonzero(peaks)
    found: list[Detection] = []
    for i in np.argsort(-score[rows, columns])[: 3 * MOST]:
        row, column = int(rows[i]), int(columns[i])
        x, y, size, sine, cosine = (float(v) for v in geometry[:, row, column])
        centre = np.array([(column + x + 0.5) * STRIDE - 0.5, (row + y + 0.5) * STRIDE - 0.5], np.float32)
        side = UNIT * float(np.exp(np.clip(size, -3.0, 3.0)))
        if all(np.linalg.norm(centre - other.centre) > 0.5 * max(side, other.side) for other in found):
            found.append(Detection(centre, side, float(np.arctan2(sine, cosine)), float(score[row, column])))
    return found[:MOST]
