"""The embedded face: the mean face, seen from the front, its lips apart.

Every embedded face has its landmarks where the mean face has them. So what moves one moves any other in the
same places, and the driving network need not know whom it drives.
"""

from functools import cache
from typing import Final

import numpy as np

from xpcam.face.head_crop import ANCHOR, SIDE_FACTOR, face_height
from xpcam.face.landmarks import face_mesh
from xpcam.frame import Floats, Pose

PARTED: Final = {"jawOpen": 0.22, "mouthUpperUpLeft": 0.15, "mouthUpperUpRight": 0.15}
"""What an embedded face does: its lips are apart, for a grid can show teeth only where there are some."""


FRONTAL: Final = Pose(np.zeros(3, np.float32), np.zeros(2, np.float32), 1.0)
"""How its head is held, in its own unit."""


def parted() -> Floats:
    """(51,) weights of `PARTED`, in the order of the landmark mesh."""
    return np.array([PARTED.get(name, 0.0) for name in face_mesh().blendshape_names], np.float32)


def frontal(face: Floats) -> Floats:
    """(N, 2) where points (N, 3) of a frontal face lie in its crop, -1 to 1."""
    return np.asarray((face - ANCHOR)[:, :2] * np.float32(2 / (SIDE_FACTOR * face_height())), np.float32)


def embedded_face(apart: float = 1.0) -> Floats:
    """(478, 3) the frontal face, its left its right mirrored, its lips so far apart: 0 is the mean face."""
    mesh = face_mesh()
    face = mesh.neutral + np.float32(apart) * np.tensordot(parted(), mesh.basis, axes=1)
    return np.asarray((face + face[mesh.mirror] * np.array([-1, 1, 1], np.float32)) / 2, np.float32)


@cache
def canonical() -> Floats:
    """(478, 2) landmarks of every embedded face in its crop, -1 to 1."""
    return frontal(embedded_face())
