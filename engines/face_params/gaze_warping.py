"""Turn the eyes of a portrait: the iris slides within the eye, the white around it stretches and shrinks."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam import face_landmarks as fl

Random = np.random.Generator
SPREAD = (0.45, 0.16)  # standard deviation of the shift across and down, iris diameters
MOST = (0.85, 0.35)


def look_elsewhere(rng: Random, crop: Pixels, landmarks: Floats) -> Floats:
    """Move both irises of a crop alike, in place; the landmarks with the iris points moved along.

    Only roughly right: lids near the iris go along a little. Who needs exact landmarks asks the teacher.
    """
    shift = np.clip(rng.normal(0, SPREAD), -np.array(MOST), MOST)
    moved = landmarks.copy()
    eyes = landmarks[list(fl.EYE_CORNERS), :2]
    across = (eyes[1] - eyes[0]) / max(float(np.linalg.norm(eyes[1] - eyes[0])), 1.0)
    for iris in (fl.RIGHT_IRIS, fl.LEFT_IRIS):
        points = landmarks[list(iris), :2]
        diameter = float(np.linalg.norm(points[1] - points[3]))
        if diameter < 3:
            continue
        step = diameter * (shift[0] * across + shift[1] * np.array([-across[1], across[0]]))
        _slide(crop, points[0], step, diameter)
        moved[list(iris), :2] += step
    return moved


def _slide(crop: Pixels, centre: Floats, step: Floats, diameter: float) -> None:
    """Shift what is around `centre` by `step`, fading out over an iris diameter."""
    reach = int(2.2 * diameter) + 2
    low = np.maximum(np.round(centre).astype(int) - reach, 0)
    high = np.minimum(np.round(centre).astype(int) + reach + 1, crop.shape[1::-1])
    if (high - low < 4).any():
        return
    rows, columns = np.mgrid[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    goal = centre + step
    away = ((columns - goal[0]) ** 2 + ((rows - goal[1]) * 1.5) ** 2) / (0.75 * diameter) ** 2
    share = np.exp(-(away**2)).astype(np.float32)
    source = (columns - share * np.float32(step[0]), rows - share * np.float32(step[1]))
    drawn = cv2.remap(crop, *source, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    crop[low[1] : high[1], low[0] : high[0]] = drawn
