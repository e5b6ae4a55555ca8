"""Where shut lips meet.

A tracker reads dark upper lips over pink lower ones as a little apart. A target would then open its mouth
too far: what lies between the two wrong edges counts as its inside. So where a picture's lips are as good as
shut, both edges are laid on the dark line between them.
"""

from dataclasses import replace

import cv2
import numpy as np

from xpcam.face.landmarks import LIPS_APART, apply_pose, columns, gap, unpose
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mouth.interior import OWN_OPEN
from xpcam.warping.mesh_warp import sample

BEYOND = 0.012  # the line is looked for so far outside the two edges, outer-eye distances
STEPS = 25
SMOOTH = 0.004  # a neighbour's line may lie so far above or below for the price of one grey-level spread
MIDDLE = 0.03  # the same for the distance from the middle between the edges


def sealed(picture: Pixels, face: FaceParams) -> FaceParams:
    """The face with the edges of shut lips where they meet; as it is where the lips are apart.

    Args:
        picture: (H, W, 3) uint8 BGR.
        face: its landmarks, in pixels of the picture.
    """
    frontal = unpose(face.landmarks, face.pose)
    upper, lower = columns(LIPS_APART)
    if gap(frontal, LIPS_APART) > OWN_OPEN or np.array_equal(face.landmarks[upper], face.landmarks[lower]):
        return face
    middle = np.asarray((frontal[upper] + frontal[lower]) / 2, np.float32)
    half = (np.abs(frontal[lower, 1] - frontal[upper, 1]) / 2 + BEYOND).astype(np.float32)
    away = np.linspace(-1, 1, STEPS, dtype=np.float32)[:, None] * half  # (STEPS, 9)
    places = np.repeat(middle[None], STEPS, axis=0)
    places[..., 1] += away
    flat = np.asarray(places.reshape(-1, 3), np.float32)
    seen = apply_pose(flat, face.pose)[:, :2].reshape(STEPS, -1, 2)
    middle[:, 1] += _darkest(_brightness(picture, seen), away)
    landmarks = face.landmarks.copy()
    landmarks[upper] = landmarks[lower] = apply_pose(middle, face.pose)
    return replace(face, landmarks=landmarks)


def _brightness(picture: Pixels, places: Floats) -> Floats:
    """(STEPS, 9) grey levels at (STEPS, 9, 2) places, in spreads of each column's."""
    far = np.array(picture.shape[1::-1]) - 1  # a face may look over the picture's edge
    left, top = np.clip(np.floor(places.min(axis=(0, 1))).astype(int) - 3, 0, far)
    right, bottom = np.clip(np.ceil(places.max(axis=(0, 1))).astype(int) + 3, (left, top), far) + 1
    grey = cv2.cvtColor(picture[top:bottom, left:right], cv2.COLOR_BGR2GRAY)
    soft = np.asarray(cv2.GaussianBlur(grey, (0, 0), 0.8), np.float32)
    sampled = sample(soft, places - np.array([left, top], np.float32))
    return np.asarray((sampled - sampled.mean(axis=0)) / np.maximum(sampled.std(axis=0), 4.0))


def _darkest(brightness: Floats, away: Floats) -> Floats:
    """(9,) the darkest line from corner to corner, by dynamic programming: its `away` at each column."""
    cost = brightness + (away / MIDDLE) ** 2
    best, came = cost[:, 0], []
    for column in range(1, cost.shape[1]):
        steep = ((away[:, column, None] - away[None, :, column - 1]) / SMOOTH) ** 2
        total = best[None, :] + np.minimum(steep, 9.0) * np.float32(0.25)
        came.append(total.argmin(axis=1))
        best = total.min(axis=1) + cost[:, column]
    row = int(best.argmin())
    rows = [row]
    for back in reversed(came):
        rows.append(int(back[rows[-1]]))
    return np.asarray(away[rows[::-1], np.arange(cost.shape[1])], np.float32)
