"""Steady what was tracked, without lag where it moves: the One Euro filter (Casiez et al., CHI 2012).

Head motion and expression are filtered apart: the pose as a rigid motion, the landmarks in the face's
own frame, where lids and lips have a higher cut-off, so that a blink survives while skin keeps still.
"""

import math
from dataclasses import replace

import numpy as np

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import LANDMARKS, rotation_matrix
from xpcam.frame import FaceParams, Floats, Pose

DERIVATIVE_CUTOFF = 2.0  # hertz
LONGEST_GAP = 0.5  # seconds without a face after which the past no longer counts

# (cut-off at rest in hertz, hertz per unit of speed); a unit is an outer-eye distance, or a radian.
SKIN, BROWS = (1.5, 10.0), (1.6, 12.0)
CORNERS = (3.0, 18.0)
LIPS, LIDS, IRISES = (6.0, 30.0), (5.0, 45.0), (0.8, 10.0)
EXPRESSION = (2.0, 8.0)  # a unit is a whole blend shape
TRANSLATION, SCALE, ROTATION = (2.0, 10.0), (1.0, 4.0), (1.5, 8.0)


def share(cutoff: Floats | float, dt: float) -> Floats:
    """Share of the new value in a first-order low pass of `cutoff` hertz after `dt` seconds."""
    turned = np.asarray(cutoff, np.float32) * np.float32(2 * math.pi * dt)
    return np.asarray(turned / (turned + 1), np.float32)


class OneEuro:
    """Filters (N, D) points, each with one cut-off that rises with its speed.

    Args:
        cutoff: (N, 1) hertz at rest.
        beta: (N, 1) hertz per unit of speed (units per second).
    """

    def __init__(self, cutoff: Floats, beta: Floats) -> None:
        self._cutoff, self._beta = cutoff, beta
        self._value: Floats | None = None
        self._speed: Floats | None = None

    def reset(self) -> None:
        """Forget the past."""
        self._value = self._speed = None

    def __call__(self, value: Floats, dt: float) -> Floats:
        """The filtered (N, D) value, `dt` seconds after the one before."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value, np.zeros_like(value)
            return value
        speed = (value - self._value) / np.float32(dt)
        self._speed = self._speed + share(DERIVATIVE_CUTOFF, dt) * (speed - self._speed)
        pace = np.linalg.norm(self._speed, axis=1, keepdims=True)
        self._value = self._value + share(self._cutoff + self._beta * pace, dt) * (value - self._value)
        return self._value


def _columns(rows: list[tuple[float, float]]) -> tuple[Floats, Floats]:
    table = np.array(rows, np.float32)
    return table[:, :1], table[:, 1:]


def _landmark_settings() -> list[tuple[float, float]]:
    rows = [SKIN] * LANDMARKS
    groups = (
        (face_landmarks.RIGHT_BROW + face_landmarks.LEFT_BROW, BROWS),
        (face_landmarks.INNER_LIPS + face_landmarks.OUTER_LIPS, LIPS),
        (face_landmarks.RIGHT_EYE + face_landmarks.LEFT_EYE, LIDS),
        (face_landmarks.RIGHT_IRIS + face_landmarks.LEFT_IRIS, IRISES),
        ((33, 133, 362, 263), CORNERS),
    )
    for points, setting in groups:
        for point in points:
            rows[point] = setting
    return rows


class FaceSmoother:
    """Steadies the landmarks of one face over time."""

    def __init__(self) -> None:
        # Translation, scale and rotation are one value of three numbers each.
        self._pose = OneEuro(*_columns([TRANSLATION, SCALE, ROTATION]))
        self._shape = OneEuro(*_columns(_landmark_settings()))
        self._expression = OneEuro(*_columns([EXPRESSION] * 52))
        self._unit = 1.0
        self._before: float | None = None

    def reset(self) -> None:
        """Forget the past: the next face is taken as it comes."""
        self._pose.reset()
        self._shape.reset()
        self._expression.reset()
        self._before = None

    def __call__(self, face: FaceParams, seconds: float) -> FaceParams:
        """The face steadied: landmarks, pose and expression, at `seconds` on any steady clock."""
        if self._before is None or not 0 < seconds - self._before < LONGEST_GAP:
            self.reset()
        dt = 1.0 if self._before is None else seconds - self._before
        if self._before is None:
            self._unit = face.pose.scale
        self._before = seconds
        shape = self._shape(_to_model(face.landmarks, face.pose), dt)
        expression = self._expression(face.expression[:, None], dt)[:, 0]
        pose = self._filter_pose(face.pose, dt)
        return replace(face, landmarks=_to_image(shape, pose), pose=pose, expression=expression)

    def _filter_pose(self, pose: Pose, dt: float) -> Pose:
        row = np.zeros((3, 3), np.float32)
        row[0, :2] = pose.translation / self._unit
        row[1, 0] = math.log(pose.scale)
        row[2] = pose.rotation
        row = self._pose(row, dt)
        return Pose(row[2].copy(), row[0, :2] * np.float32(self._unit), math.exp(float(row[1, 0])))


def _to_model(landmarks: Floats, pose: Pose) -> Floats:
    """Landmarks in the face's own frame, in outer-eye distances; depth keeps its own origin."""
    moved = landmarks.copy()
    moved[:, :2] -= pose.translation
    return np.asarray(moved @ rotation_matrix(pose.rotation) / np.float32(pose.scale), np.float32)


def _to_image(shape: Floats, pose: Pose) -> Floats:
    moved = shape @ rotation_matrix(pose.rotation).T * np.float32(pose.scale)
    moved[:, :2] += pose.translation
    return np.asarray(moved, np.float32)
