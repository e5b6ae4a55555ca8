"""The values that travel from stage to stage."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture: (height, width, 3) uint8, blue-green-red as in OpenCV, C-contiguous."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Frame:
    """One picture on its way through the pipeline.

    Attributes:
        pixels: (height, width, 3) uint8, BGR. Nobody writes into a frame that was handed on.
        sequence: counts what the camera delivered, from 0; gaps are frames that were dropped.
        captured_at: `time.monotonic()` seconds when the camera delivered it.
        decode_seconds: what decoding it cost in the capture thread.
    """

    pixels: Pixels
    sequence: int
    captured_at: float
    decode_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Pose:
    """Weak-perspective camera: image = scale * (R @ model)[:2] + translation.

    Attributes:
        rotation: (3,) axis-angle, radians; x right, y down, z away from the camera.
        translation: (2,) pixels.
        scale: pixels per unit of the face model (its outer eye corners are 1 unit apart).
    """

    rotation: Floats
    translation: Floats
    scale: float

    def towards(self, other: "Pose", share: float) -> "Pose":
        """The pose `share` of the way to another one that is not far away."""
        keep, take = np.float32(1.0 - share), np.float32(share)
        return Pose(
            self.rotation * keep + other.rotation * take,
            self.translation * keep + other.translation * take,
            float(self.scale * keep + other.scale * take),
        )


@dataclass(frozen=True, slots=True)
class Appearance:
    """Whose face it is and how it is lit: what hardly changes from frame to frame.

    Attributes:
        identity: (80,) float32, coefficients of `FaceModel.identity`, in standard deviations.
        texture: (80,) float32, coefficients of `FaceModel.albedo`, in standard deviations.
        lighting: (9, 3) float32, spherical-harmonics light for blue, green, red (`face.model.shading`).
    """

    identity: Floats
    texture: Floats
    lighting: Floats


def _no_expression() -> Floats:
    return np.zeros(52, np.float32)


def _straight_gaze() -> Floats:
    return np.zeros((2, 2), np.float32)


@dataclass(frozen=True, slots=True)
class FaceParams:
    """What is known of the face in one frame.

    Attributes:
        landmarks: (478, 3) float32, x and y in pixels of the frame, z in the same unit
            (negative towards the camera); MediaPipe's face-mesh order, 10 iris points last.
        pose: head pose.
        confidence: 0 to 1, that this is a face.
        expression: (52,) float32 ARKit blend-shape weights, 0 to 1, in the order of `face.model.ARKIT`.
        gaze: (2, 2) float32, right eye then left, each yaw (positive towards the right of the picture) and
            pitch (positive downwards) against the head, radians.
        appearance: identity, texture and light, where they were asked for.
        shown: (5,) what the mouth was seen to show, and how far that is to be believed (`mouth.seen`).
    """

    landmarks: Floats
    pose: Pose
    confidence: float
    expression: Floats = field(default_factory=_no_expression)
    gaze: Floats = field(default_factory=_straight_gaze)
    appearance: Appearance | None = None
    shown: Floats | None = None
