"""The person's neutral face, found without asking.

Nobody can be told to hold still, and most start in the middle of a word. So every region's neutral is
taken from the moments at which that region is most likely at rest: the lips when they are most closed,
the eyes when they are open (not blinking, not wide), the rest from the median of all moments.

Where blend-shape weights are tracked, they tell rest from expression. Only the calmest moments count; what
they still hold of a strong expression (somebody who starts laughing) is taken out along its blend shapes; and
when calmer moments come than those learned from, the neutral moves to them at once instead of drifting.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import LEFT_LIDS, LIPS_APART, RIGHT_LIDS, gap, unpose
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import FaceParams, Floats, Pose

CONFIDENT = 0.6
FIRST_SECONDS = 1.0
SAMPLE_EVERY = 0.2  # seconds between samples once the first second is over
KEPT = 60  # samples kept: the first second, then a window of about ten seconds
LIPS_CLOSED = 0.012  # a gap below this is a closed mouth, in outer-eye distances
SHUTS = 0.003  # lips that are so much nearer to each other than they were known to be, outer-eye distances
DRIFT_SECONDS = 30.0  # time constant with which the neutral follows what was learned later
RELAXING_SECONDS = 0.6  # the same, to calmer moments than it was learned from
TENSE_SECONDS = 120.0  # the same, to tenser ones

# Strain is the sum of the weights of these shapes: those of lids and jaw are looked after on their own.
STRAINING = np.array(
    [
        not name.startswith(("eye", "jaw", "tongue", "mouthClose", "mouthRoll", "mouthShrug", "mouthPress"))
        for name in ARKIT
    ]
)
CALM = 0.3  # strain above that of the calmest moments that is calm as well
CALMEST = 3  # moments that are needed to say what calm is: one reading may be wrong
RELAXED = 1.0  # strain up to which a face is taken for the person's own resting face


@dataclass(frozen=True, slots=True)
class Neutral:
    """A person's neutral face.

    Attributes:
        face: (478, 3) float32, frontal (`face.landmarks.unpose`).
        pose: how the head was held.
        gaze: (2, 2) where the eyes looked, as in `FaceParams`.
        expression: (52,) ARKit weights that this face reads as; zeros where none are tracked.
        strain: how tense the moments were from which it was taken (see `STRAINING`).
    """

    face: Floats
    pose: Pose
    gaze: Floats = field(default_factory=lambda: np.zeros((2, 2), np.float32))
    expression: Floats = field(default_factory=lambda: np.zeros(len(ARKIT), np.float32))
    strain: float = 0.0

    def of(self, known: "Neutral") -> "Neutral":
        """The face that is known, its head held as in this one."""
        return replace(known, pose=self.pose)


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
            seconds = _time_constant(self._neutral, found)
            self._neutral = _drifted(self._neutral, found, min(1.0, max(0.0, passed) / seconds))
        return self._neutral

    def settle(self) -> bool:
        """Take what was learned so far as the first second; whether there is anything."""
        self._learning_ends = -np.inf
        return self._neutral is not None

    def forget(self) -> None:
        """Start anew, for another person or on request."""
        self._samples, self._neutral = [], None


def _time_constant(old: Neutral, new: Neutral) -> float:
    """Seconds in which to go most of the way from one neutral face to another."""
    if gap(new.face, LIPS_APART) < gap(old.face, LIPS_APART) - SHUTS:
        return RELAXING_SECONDS  # they were seen shut at last
    tenser = new.strain - old.strain
    if tenser > CALM:
        return TENSE_SECONDS
    return RELAXING_SECONDS if tenser < -CALM else DRIFT_SECONDS


def calm(expressions: Floats) -> NDArray[np.bool_]:
    """(M,) which of the moments with (M, 52) weights count as rest; all, where no weights are tracked."""
    strain = expressions[:, STRAINING].sum(axis=1)
    nth = min(CALMEST, len(strain)) - 1
    return np.asarray(strain <= np.partition(strain, nth)[nth] + CALM)


def estimate(samples: list[tuple[Floats, FaceParams]]) -> Neutral:
    """The neutral face of at least one (frontal face (478, 3), the face as it was tracked)."""
    resting = calm(np.stack([person.expression for _, person in samples]))
    samples = [sample for sample, rests in zip(samples, resting, strict=True) if rests]
    faces = np.stack([face for face, _ in samples])
    weights = face_landmarks.region_weights()
    lips = face_landmarks.gaps(faces, LIPS_APART)
    lids = face_landmarks.gaps(faces, RIGHT_LIDS + LEFT_LIDS)
    closed = lips <= np.quantile(lips, 0.2)
    low, high = np.quantile(lids, (0.5, 0.9), method="nearest")
    awake = (lids >= low) & (lids <= high)
    middle = _median(faces)
    face = middle.copy()
    for region, moments in enumerate((closed, awake)):
        face += weights[:, region : region + 1] * (faces[moments].mean(axis=0) - middle)
    people = [person for _, person in samples]
    rotation, translation = (
        np.median([getattr(person.pose, name) for person in people], axis=0)
        for name in ("rotation", "translation")
    )
    pose = Pose(rotation, translation, float(np.median([person.pose.scale for person in people])))
    gaze = np.median([person.gaze for person in people], axis=0).astype(np.float32)
    expression = _expression(np.stack([person.expression for person in people]), closed, awake)
    excess = _excess(expression)
    face = _closed_mouth((face - _shift(excess)).astype(np.float32))
    strain = float(expression[STRAINING].sum())
    return Neutral(face, pose, gaze, expression - excess, strain)


def _median(faces: Floats) -> Floats:
    """(...) median of (M, ...): sorting all takes NumPy a seventh of the time of its own median."""
    ordered = np.sort(faces, axis=0)
    count = len(faces)
    return np.asarray((ordered[(count - 1) // 2] + ordered[count // 2]) * np.float32(0.5))


def _expression(tracked: Floats, closed: NDArray[np.bool_], awake: NDArray[np.bool_]) -> Floats:
    """(52,) the weights of (M, 52) at the moments from which each region's neutral is taken."""
    expression = np.median(tracked, axis=0)
    for prefixes, moments in ((("mouth", "jaw"), closed), (("eye",), awake)):
        taken = [name.startswith(prefixes) for name in ARKIT]
        expression[taken] = tracked[moments].mean(axis=0)[taken]
    return np.asarray(expression, np.float32)


def _excess(expression: Floats) -> Floats:
    """(52,) what of the weights is more than a resting face shows."""
    straining = np.where(STRAINING, expression, 0.0)
    strain = float(straining.sum())
    return np.asarray(straining * max(0.0, 1.0 - RELAXED / max(strain, RELAXED)), np.float32)


def _shift(expression: Floats) -> Floats:
    """(478, 3) what the weights do to a frontal face."""
    if not expression.any():
        return np.zeros((face_landmarks.LANDMARKS, 3), np.float32)
    return np.tensordot(expression, face_model().landmark_expression, axes=1)


def _closed_mouth(face: Floats) -> Floats:
    """Take out what a mouth that never closed while we looked is open, along the jaw's own motion."""
    excess = gap(face, LIPS_APART) - LIPS_CLOSED
    if excess <= 0:
        return face
    model = face_model()
    jaw = model.landmark_expression[ARKIT.index("jawOpen")]
    share = excess / (gap(model.landmark_mean + jaw, LIPS_APART) - gap(model.landmark_mean, LIPS_APART))
    return np.asarray(face - jaw * share, np.float32)


def _drifted(old: Neutral, new: Neutral, share: float) -> Neutral:
    keep, take = np.float32(1.0 - share), np.float32(share)
    return Neutral(
        old.face * keep + new.face * take,
        old.pose.towards(new.pose, share),
        old.gaze * keep + new.gaze * take,
        old.expression * keep + new.expression * take,
        float(old.strain * keep + new.strain * take),
    )
