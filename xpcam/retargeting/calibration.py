"""The neutral face on request: look for a moment, and say how good what was seen is.

Of the pictures only their mean brightness about the face is kept.
"""

from dataclasses import dataclass

import numpy as np

from xpcam.errors import CameraError
from xpcam.face.landmarks import LIPS_APART, gap, unpose
from xpcam.frame import FaceParams, Floats, Frame
from xpcam.retargeting.neutral import CONFIDENT, Neutral, estimate

FEWEST = 8  # readings that a calibration needs
EVERY = 4  # of so many rows and columns one counts for the brightness
SEEN = 80.0  # % of the frames that should show the face
STILL = 3.0  # % of the eye distance by which the head may move
FRONTAL = 12.0  # degrees by which it may look elsewhere
CLOSED = 4.0  # % of the eye distance by which the lips may be apart
LIGHT = (50.0, 215.0)  # mean brightness of the face, of 255


@dataclass(frozen=True, slots=True)
class Judgement:
    """One part of a calibration's quality: what was measured, and what to do where it is not good."""

    value: float
    unit: str
    good: bool
    advice: str


@dataclass(frozen=True, slots=True)
class Reading:
    """A face that was seen: frontal (478, 3), as it was tracked, and how bright, of 255."""

    frontal: Floats
    person: FaceParams
    brightness: float


class Sampling:
    """Collects faces while it watches (`pipeline.Watcher`); one thread adds, another reads at the end."""

    def __init__(self) -> None:
        self.frames = 0
        self.readings: list[Reading] = []

    def see(self, frame: Frame, person: FaceParams | None) -> None:
        """Take in one frame's face."""
        self.frames += 1
        if person is not None and person.confidence >= CONFIDENT:
            frontal = unpose(person.landmarks, person.pose)
            self.readings.append(Reading(frontal, person, brightness(frame, person)))

    def result(self) -> tuple[Neutral, dict[str, Judgement]]:
        """The neutral face, and how good it is.

        Raises:
            CameraError: there was hardly a face to learn from.
        """
        readings = list(self.readings)
        if len(readings) < FEWEST:
            raise CameraError(
                f"a face in {len(readings)} of {self.frames} frames: wanted one for the whole time; look at "
                "the camera, in good light, and calibrate again"
            )
        neutral = estimate([(reading.frontal, reading.person) for reading in readings])
        return neutral, judged(readings, self.frames)


def brightness(frame: Frame, person: FaceParams) -> float:
    """Mean brightness about a face, 0 to 255; 0 where it lies outside the picture."""
    height, width = frame.pixels.shape[:2]
    points = person.landmarks[:, :2]
    left, top = np.clip(points.min(axis=0), 0, (width, height)).astype(int)
    right, bottom = np.clip(points.max(axis=0), 0, (width, height)).astype(int)
    about = frame.pixels[top:bottom:EVERY, left:right:EVERY]
    return float(about.mean()) if about.size else 0.0


def judged(readings: list[Reading], frames: int) -> dict[str, Judgement]:
    """How good what was seen is, by name."""
    poses = [reading.person.pose for reading in readings]
    scale = float(np.median([pose.scale for pose in poses]))
    moved = float(np.linalg.norm(np.std([pose.translation for pose in poses], axis=0))) / scale
    turned = float(np.degrees(np.linalg.norm(np.median([pose.rotation[:2] for pose in poses], axis=0))))
    apart = float(np.median([gap(reading.frontal, LIPS_APART) for reading in readings]))
    light = float(np.median([reading.brightness for reading in readings]))
    seen = 100.0 * len(readings) / max(frames, 1)
    darker = "more light on the face" if light < LIGHT[0] else "less light on the face"
    return {
        "seen": Judgement(seen, "% of frames", seen >= SEEN, "stay in the picture, nothing before the face"),
        "still": Judgement(100 * moved, "% of eye distance", 100 * moved <= STILL, "hold still"),
        "frontal": Judgement(turned, "degrees", turned <= FRONTAL, "look straight at the camera"),
        "mouth": Judgement(100 * apart, "% of eye distance", 100 * apart <= CLOSED, "close the mouth"),
        "light": Judgement(light, "of 255", LIGHT[0] <= light <= LIGHT[1], darker),
    }
