"""The person's neutral face, found without asking.

Nobody can be told to hold still, and most start in the middle of a word. So every region's neutral is
taken from the moments at which that region is most likely at rest: the lips when they are most closed,
the eyes when they are open (not blinking, not wide), the rest from the median of all moments.
"""

from dataclasses import dataclass, field

import numpy as np

from xpcam import face_landmarks
from xpcam.face_landmarks import LEFT_LIDS, LIPS_APART, RIGHT_LIDS, face_mesh, gap, unpose
from xpcam.frame import FaceParams, Floats, Pose

CONFIDENT = 0.6
FIRST_SECONDS = 1.0
SAMPLE_EVERY = 0.2  # seconds between samples once the first second is over
KEPT = 60  # samples kept: the first second, then a window of about ten seconds
LIPS_CLOSED = 0.012  # a gap below this is a closed mouth, in outer-eye distances
DRIFT_SECONDS = 30.0  # time constant with which the neutral follows what was learned later


@dataclass(frozen=True, slots=True)
class Neutral:
    """A person's neutral face.

    Attributes:
        face: (478, 3) float32, frontal (`face_landmarks.unpose`).
        pose: how the head was held.
        gaze: (2, 2) where the eyes looked, as in `FaceParams`.
    """

    face: Floats
    pose: Pose
    gaze: Floats = field(default_factory=lambda: np.zeros((2, 2), np.float32))


class NeutralFinder:
    """Learns the neutral face from what is tracked: at once, firmly after a second, then drifting slowly."""

    def __init__(self) -> None:
        self._samples: list[tuple[Floats, FaceParams]] = []
        self._neutral: Neutral | None = None
        self._learning_ends = self._sampled = 0.0

    def update(self, person: FaceParams, at: float) -> Neutral | None:
        """Take in one tracked face seen at `at` seconds; None until there was a confident one."""
        if person.confidence < CONFIDENT:
            return self._neutral
        if self._neutral is None:
            self._learning_ends = at + FIRST_SECONDS
        learning = at <= self._learning_ends
        passed = at - self._sampled
        if self._neutral is not None and not learning and 0.0 <= passed < SAMPLE_EVERY:
            return self._neutral
        self._sampled = at
        self._samples = [*self._samples[-KEPT + 1 :], (unpose(person.landmarks, person.pose), person)]
        found = estimate(self._samples)
        if self._neutral is None or learning:
            self._neutral = found
        else:
            self._neutral = _drifted(self._neutral, found, min(1.0, max(0.0, passed) / DRIFT_SECONDS))
        return self._neutral

    def settle(self) -> bool:
        """Take what was learned so far as the first second; whether there is anything."""
        self._learning_ends = -np.inf
        return self._neutral is not None

    def forget(self) -> None:
        """Start anew, for another person or on request."""
        self._samples, self._neutral = [], None


def estimate(samples: list[tuple[Floats, FaceParams]]) -> Neutral:
    """The neutral face of at least one (frontal face (478, 3), the face as it was tracked)."""
    faces = np.stack([face for face, _ in samples])
    weights = face_landmarks.region_weights()
    lips = face_landmarks.gaps(faces, LIPS_APART)
    lids = face_landmarks.gaps(faces, RIGHT_LIDS + LEFT_LIDS)
    resting = np.median(faces, axis=0)
    closed = faces[lips <= np.quantile(lips, 0.2)].mean(axis=0)
    low, high = np.quantile(lids, (0.5, 0.9), method="nearest")
    awake = faces[(lids >= low) & (lids <= high)].mean(axis=0)
    face = resting + weights[:, :1] * (closed - resting) + weights[:, 1:2] * (awake - resting)
    rotation, translation = (
        np.median([getattr(person.pose, name) for _, person in samples], axis=0)
        for name in ("rotation", "translation")
    )
    pose = Pose(rotation, translation, float(np.median([person.pose.scale for _, person in samples])))
    gaze = np.median([person.gaze for _, person in samples], axis=0).astype(np.float32)
    return Neutral(_closed_mouth(face.astype(np.float32)), pose, gaze)


def _closed_mouth(face: Floats) -> Floats:
    """Take out what a mouth that never closed while we looked is open, along the jaw's own motion."""
    excess = gap(face, LIPS_APART) - LIPS_CLOSED
    if excess <= 0:
        return face
    mesh = face_mesh()
    jaw = mesh.basis[mesh.blendshape_names.index("jawOpen")]
    share = excess / gap(mesh.neutral + jaw, LIPS_APART)
    return np.asarray(face - jaw * share, np.float32)


def _drifted(old: Neutral, new: Neutral, share: float) -> Neutral:
    keep, take = np.float32(1.0 - share), np.float32(share)
    pose = Pose(
        old.pose.rotation * keep + new.pose.rotation * take,
        old.pose.translation * keep + new.pose.translation * take,
        float(old.pose.scale * keep + new.pose.scale * take),
    )
    return Neutral(old.face * keep + new.face * take, pose, old.gaze * keep + new.gaze * take)
