"""Where eyes look, read off the landmarks: the iris before the eyeball behind each opening."""

import numpy as np

from xpcam.face.landmarks import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from xpcam.frame import Floats

BALL = 0.115  # radius of an eyeball in outer-eye distances (0.135), as far as irises are seen to move
BELIEVED = (
    0.35,
    0.65,
)  # an eye less open than the first (of its neutral) says nothing, from the second on all


def gaze_of(face: Floats) -> Floats:
    """Where each eye looks against the head, by geometry: sine = way of the iris / radius of the ball.

    Args:
        face: (478, 3) a frontal face (`face.landmarks.unpose`).

    Returns:
        (2, 2) right eye then left, yaw (positive to the right of the picture) and pitch (positive down),
        radians. A straight gaze is not zero: the middle between the corners is not the middle of the ball,
        so only differences of one face mean something.
    """
    corners = face[[RIGHT_EYE[0], RIGHT_EYE[8], LEFT_EYE[0], LEFT_EYE[8]], :2].reshape(2, 2, 2)
    irises = face[[*RIGHT_IRIS, *LEFT_IRIS], :2].reshape(2, 5, 2)
    way = (irises.mean(axis=1) - corners.mean(axis=1)) / np.float32(BALL)
    return np.asarray(np.arcsin(np.clip(way, -0.95, 0.95)), np.float32)


def together(gaze: Floats, lids: Floats) -> tuple[Floats, float]:
    """(2,) where both eyes look as one, and how far that can be believed, 0 to 1.

    Args:
        gaze: (2, 2) of the right and left eye, radians.
        lids: (2,) how open each is, 1 as in neutral.
    """
    low, high = BELIEVED
    trust = np.clip((lids - low) / (high - low), 0.0, 1.0)
    return np.asarray((gaze * trust[:, None]).sum(axis=0) / max(float(trust.sum()), 1e-6)), float(trust.max())
