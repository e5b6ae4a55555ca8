"""Where a clip can go back to an earlier moment without a jump.

The best pair of moments is looked for, by how alike face and picture are over the frames that lead up to
both; the frames before the later one are then faded into those before the earlier one.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats, Pixels

FADE_SECONDS = 0.25
FADE_FRAMES = (3, 12)
LEAST_SECONDS = 1.0  # a shorter loop looks like a tic
LEAST_SHARE = 0.5  # of the clip is in the loop
ALIKE = 0.09  # rms distance at which a fade is not seen to be one
PICTURE = 2.5  # a picture that differs by all its range counts as this many eye distances of the landmarks
LONGER = 0.03  # what a loop of the whole clip may be less alike than one of none, same unit
THUMB = (32, 18)


@dataclass(frozen=True, slots=True)
class Loop:
    """Frames first to last - 1 are played, again and again.

    Attributes:
        first: index of the first frame.
        last: index after the last one.
        fade: how many frames before `last` are faded into as many before `first`; 0: play to and fro.
    """

    first: int
    last: int
    fade: int

    def order(self) -> NDArray[np.intp]:
        """(M,) indices of the frames of one round."""
        there = np.arange(self.first, self.last)
        return there if self.fade else np.concatenate([there, there[-2:0:-1]])


def thumbnail(picture: Pixels) -> Floats:
    """What is compared of a picture: a small grey one, 0 to 1."""
    small = cv2.cvtColor(cv2.resize(picture, THUMB, interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2GRAY)
    return small.ravel().astype(np.float32) * np.float32(1 / 255)


def find_loop(landmarks: Floats, scale: float, thumbnails: Floats, trust: Floats, fps: float) -> Loop:
    """The best loop of a clip.

    Args:
        landmarks: (N, 478, 3) pixels.
        scale: outer-eye distance in pixels.
        thumbnails: (N, P), see `thumbnail`.
        trust: (N,) 1 where a face is to be seen, 0 where there is none.
        fps: frames a second, for the length of the fade.
    """
    count = len(landmarks)
    fade = int(np.clip(round(FADE_SECONDS * fps), *FADE_FRAMES))
    least = max(round(LEAST_SECONDS * fps), round(LEAST_SHARE * count), 2)
    whole = Loop(0, count, 0)
    if count < fade + least + 1:
        return whole
    points = landmarks[:, :, :2].reshape(count, -1) / np.float32(scale * np.sqrt(landmarks.shape[1]))
    seen = thumbnails * np.float32(PICTURE / np.sqrt(thumbnails.shape[1]))
    apart = _leading_up(_squared_distances(np.concatenate([points, seen], axis=1)), fade)
    first, last = np.indices(apart.shape) + fade  # apart[i, j]: what leads up to i + fade and j + fade
    length = last - first
    cost = np.sqrt(np.maximum(apart, 0.0)) - LONGER * length / count
    faces = (trust[np.minimum(first, count - 1)] > 0.5) & (trust[last - 1] > 0.5)
    cost[(length < least) | ~faces] = np.inf
    row, column = divmod(int(cost.argmin()), len(cost))
    if not np.isfinite(cost[row, column]) or apart[row, column] > ALIKE**2:
        return whole
    return Loop(row + fade, column + fade, fade)


def _squared_distances(features: Floats) -> Floats:
    centred = features - features.mean(axis=0)
    squares = (centred**2).sum(axis=1)
    return np.asarray(squares[:, None] + squares - 2.0 * centred @ centred.T, np.float32)


def _leading_up(distances: Floats, frames: int) -> Floats:
    """(N - frames + 1)² means of as many distances along the diagonals."""
    count = len(distances) - frames + 1
    total = np.zeros((count, count), np.float32)
    for step in range(frames):
        total += distances[step : step + count, step : step + count]
    return total / np.float32(frames)
