"""Where the irises are in a frame: dark discs in the openings that the landmarks outline.

The landmark network 1.0 did not move its irises (0.0 of a known gaze; 2.0 was not measured), and a gaze is
a few pixels.
So both eyes are cut upright from the frame, and every place of a small grid is scored by how much brighter
the eye is just outside an iris there than inside it, as far as the lids leave it free (after Daugman 1993).
The grid is the same for every eye: one gather of fixed indices does it, and a soft maximum gives fractions.
"""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.eyes.eye_frame import EyeFrame, filled
from xpcam.face.landmarks import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from xpcam.frame import Floats, Pixels

COLUMNS, ROWS, WIDTH = 56, 32, 40.0  # the upright crop, and the eye in it, pixels
MIDDLE = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2], np.float32)
PLACES = (np.linspace(-0.3, 0.3, 17), np.linspace(-0.12, 0.12, 7))  # in widths of the eye
RADII = (0.18, 0.21, 0.24)
RINGS = (1.18, 0.8, 0.5)  # in radii: just outside, and two inside
ANGLES = 20
FREE = 0.25  # share of an iris' edge that must be free of lids
SOFT = 2.5  # levels of contrast by which one place must beat another to be told from it
ACROSS = np.array([1.0, 0.7], np.float32)  # lids hide how high an iris is: of that, not all is believed
SEEN = (8.0, 20.0)  # levels of contrast from which an iris is believed a little, and fully


def with_irises(pixels: Pixels, landmarks: Floats) -> Floats:
    """(478, 3) landmarks whose irises are moved to where the (H, W, 3) frame shows them."""
    result = landmarks.copy()
    for eye, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS)):
        points = list(iris)
        frame = EyeFrame.of(landmarks[list(eye), :2])
        place, trust = read(pixels, frame, landmarks[list(eye), :2])
        way = (place - frame.to_eye(landmarks[points, :2].mean(axis=0))) * ACROSS * np.float32(trust)
        result[points, :2] += frame.to_picture(way) - frame.centre
    return result


def read(pixels: Pixels, frame: EyeFrame, contour: Floats) -> tuple[Floats, float]:
    """(2,) eye coordinates of the iris in an eye with this (16, 2) contour; how sure they are, 0 to 1."""
    crop = cv2.warpAffine(
        pixels, _upright(frame), (COLUMNS, ROWS), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    grey = cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY).ravel().astype(np.float32)
    opening = filled(frame.to_eye(contour) * np.float32(WIDTH) + MIDDLE, (ROWS, COLUMNS)).ravel() > 0.5
    indices, places = _grid()
    values, free = grey[indices], opening[indices].all(axis=0)
    count = free.sum(axis=-1)
    brighter = ((values[0] - 0.5 * (values[1] + values[2])) * free).sum(axis=-1)
    contrast = np.where(count >= FREE * ANGLES, brighter / np.maximum(count, 1), -100.0)
    best = float(contrast.max())
    weight = np.exp((contrast - best) / SOFT)
    low, high = SEEN
    place = (places * weight[:, None]).sum(axis=0) / weight.sum()
    return np.asarray(place, np.float32), float(np.clip((best - low) / (high - low), 0.0, 1.0))


def _upright(frame: EyeFrame) -> Floats:
    """(2, 3) matrix from pixels of the frame to the upright crop."""
    turn = np.array([frame.across, (-frame.across[1], frame.across[0])]) * (WIDTH / frame.width)
    return np.column_stack([turn, MIDDLE - turn @ frame.centre]).astype(np.float32)


@cache
def _grid() -> tuple[NDArray[np.intp], Floats]:
    """(3, C, A) indices into the crop, of each candidate's rings; (C, 2) its place."""
    x, y, radius = (axis.ravel() for axis in np.meshgrid(*PLACES, RADII, indexing="ij"))
    angles = np.arange(ANGLES) * (2 * np.pi / ANGLES)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    centres = np.stack([x, y], axis=-1)
    rings = np.array(RINGS)[:, None, None, None] * radius[:, None, None] * around
    at = np.round((centres[:, None] + rings) * WIDTH + MIDDLE).astype(np.intp)
    columns, rows = np.clip(at[..., 0], 0, COLUMNS - 1), np.clip(at[..., 1], 0, ROWS - 1)
    return rows * COLUMNS + columns, centres.astype(np.float32)
