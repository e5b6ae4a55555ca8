"""The square around a head that X2Face works in.

It follows the head's pose alone, so it breathes with no jaw; roll, yaw and pitch stay to be seen in it.
"""

from functools import cache
from typing import Final

import cv2
import numpy as np

from xpcam.face.landmarks import CHIN, FOREHEAD, apply_pose, face_mesh
from xpcam.frame import Floats, Pixels, Pose

ANCHOR: Final = np.array([0.0, 0.25, 0.4], np.float32)
"""The crop's middle as a point of the frontal face (`face.landmarks.unpose`): inside the head."""
SIDE_FACTOR: Final = 1.7  # of the crop, in heights of the face


@cache
def face_height() -> float:
    """From forehead to chin of the mean face, in outer-eye distances."""
    neutral = face_mesh().neutral
    return float(neutral[CHIN, 1] - neutral[FOREHEAD, 1])


def face_square(pose: Pose) -> tuple[Floats, float]:
    """(2,) centre of the crop and its side, pixels of the picture."""
    return apply_pose(ANCHOR[None], pose)[0, :2], SIDE_FACTOR * face_height() * pose.scale


def crop_matrix(pose: Pose, size: int) -> Floats:
    """(2, 3) from pixels of the picture to those of its crop of `size`; whole numbers are pixel centres."""
    centre, side = face_square(pose)
    zoom = size / side
    shift = (size - 1) / 2 - centre * zoom
    return np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)


def in_crop(points: Floats, pose: Pose) -> Floats:
    """(N, 2) points (N, 2 or 3) of a picture in the crop of a head in it, -1 to 1."""
    matrix = crop_matrix(pose, 2)
    return np.asarray(points[:, :2] @ matrix[:, :2].T + (matrix[:, 2] - np.float32(0.5)), np.float32)


def face_crop(pixels: Pixels, pose: Pose, size: int) -> tuple[Pixels, Floats]:
    """A picture's head, cut out.

    Args:
        pixels: (H, W, 3).
        pose: of the head in it.
        size: side of the crop, pixels.

    Returns:
        The (size, size, 3) crop, the border repeated where it reaches beyond, and `crop_matrix`.
    """
    zoom = float(crop_matrix(pose, size)[0, 0])
    finer = max(1, round(1 / zoom))  # a picture that shrinks is sampled finely and averaged
    crop = cv2.warpAffine(
        pixels, crop_matrix(pose, size * finer), (size * finer, size * finer), borderMode=cv2.BORDER_REPLICATE
    )
    if finer > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return np.asarray(crop, np.uint8), crop_matrix(pose, size)
