"""Faces made of the shipped mean face, for tests that need no engine and no picture of anybody."""

import cv2
import numpy as np

from xpcam.face.landmarks import FACE_OVAL, apply_pose, face_mesh
from xpcam.frame import FaceParams, Floats, Frame, Pixels, Pose


def pose(
    *,
    turn: tuple[float, float, float] = (0, 0, 0),
    at: tuple[float, float] = (320, 220),
    scale: float = 150.0,
) -> Pose:
    return Pose(np.array(turn, np.float32), np.array(at, np.float32), scale)


def face(weights: dict[str, float] | None = None, where: Pose | None = None) -> FaceParams:
    """The mean face with some blend shapes, at a pose."""
    mesh = face_mesh()
    shape = mesh.neutral.copy()
    for name, weight in (weights or {}).items():
        shape += np.float32(weight) * mesh.basis[mesh.blendshape_names.index(name)]
    return posed(shape, where or pose())


def posed(shape: Floats, where: Pose) -> FaceParams:
    return FaceParams(apply_pose(shape, where), where, 0.99)


def portrait(params: FaceParams, size: tuple[int, int] = (640, 480)) -> Pixels:
    """A cartoon of a face where `params` says, textured so that motion shows."""
    width, height = size
    grey = np.random.default_rng(3).integers(60, 200, (height // 8, width // 8, 1), np.uint8)
    noise = np.repeat(grey, 3, axis=2)
    picture = np.asarray(cv2.resize(noise, size, interpolation=cv2.INTER_CUBIC), np.uint8)
    oval = params.landmarks[list(FACE_OVAL), :2].round().astype(np.int32)
    skin = np.asarray(cv2.GaussianBlur(picture, (0, 0), 3) // 3 + np.array([90, 110, 140]), np.uint8)
    mask = cv2.fillPoly(np.zeros((height, width), np.uint8), [oval], 255)
    picture[mask > 0] = skin[mask > 0]
    return picture


class Replay:
    """A tracker that has seen it all before: gives the faces it was handed, in turn."""

    def __init__(self, faces: list[FaceParams | None]) -> None:
        self._faces = faces
        self.resets = 0

    def track(self, frame: Frame) -> FaceParams | None:
        return self._faces[frame.sequence % len(self._faces)]

    def reset(self) -> None:
        self.resets += 1
