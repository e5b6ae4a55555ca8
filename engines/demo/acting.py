"""What the demo head does: a score of key frames, joined by minimum-jerk movements (Flash and Hogan 1985)."""

import numpy as np

from engines.demo.mesh import Array

SECONDS, FPS = 10.0, 30

MOODS: dict[str, dict[str, float]] = {
    "smile": {
        "mouthSmile*": 1.0, "mouthDimple*": 0.35, "mouthUpperUp*": 0.45, "cheekSquint*": 0.7,
        "eyeSquint*": 0.25, "jawOpen": 0.10, "mouthStretch*": 0.2,
    },
    "wide": {"jawOpen": 0.95, "mouthLowerDown*": 0.3, "mouthUpperUp*": 0.3},
    "raise": {"browInnerUp": 1.35, "browOuterUp*": 1.30, "eyeWide*": 0.55},
    "frown": {"browDown*": 1.2, "eyeSquint*": 0.35, "mouthFrown*": 0.45, "noseSneer*": 0.2, "mouthPress*": 0.3},
    "blink": {"eyeBlink*": 1.0},
    "rest": {"mouthSmile*": 0.07},
}  # fmt: skip
"""ARKit weights of each mood at strength 1; a star stands for Left and Right."""

VISEMES: dict[str, dict[str, float]] = {
    "A": {"jawOpen": 0.50, "mouthLowerDown*": 0.25, "mouthUpperUp*": 0.15},
    "E": {"jawOpen": 0.22, "mouthStretch*": 0.45, "mouthLowerDown*": 0.30, "mouthUpperUp*": 0.25},
    "I": {"jawOpen": 0.08, "mouthStretch*": 0.55, "mouthSmile*": 0.30, "mouthLowerDown*": 0.25},
    "O": {"jawOpen": 0.40, "mouthFunnel": 0.70},
    "U": {"jawOpen": 0.10, "mouthPucker": 0.85},
    "M": {"mouthPress*": 0.45, "mouthRollLower": 0.25, "mouthRollUpper": 0.20},
    "F": {"jawOpen": 0.06, "mouthRollLower": 0.50, "mouthUpperUp*": 0.35},
    "L": {"jawOpen": 0.28, "mouthLowerDown*": 0.15},
    "S": {"jawOpen": 0.05, "mouthStretch*": 0.30, "mouthLowerDown*": 0.30, "mouthUpperUp*": 0.20},
    "-": {},
}

SPEECH: tuple[tuple[float, str], ...] = (
    (1.25, "-"), (1.42, "A"), (1.58, "L"), (1.74, "O"), (1.92, "-"), (2.05, "E"), (2.20, "M"), (2.38, "A"),
    (2.54, "S"), (2.70, "U"), (2.86, "I"), (3.00, "F"), (3.16, "O"), (3.32, "M"), (3.50, "A"), (3.70, "-"),
    (7.75, "-"), (7.92, "O"), (8.06, "M"), (8.22, "A"), (8.38, "I"), (8.52, "U"), (8.68, "E"), (8.84, "M"),
    (9.00, "-"),
)  # fmt: skip

SCORE: dict[str, tuple[tuple[float, float], ...]] = {
    "smile": ((3.70, 0), (4.10, 1), (4.75, 1), (5.05, 0), (8.95, 0), (9.20, 0.55), (9.40, 0.55), (9.75, 0)),
    "wide": ((5.05, 0), (5.40, 1), (5.75, 1), (6.05, 0)),
    "raise": (
        (1.60, 0), (1.80, 0.45), (2.10, 0), (5.05, 0), (5.35, 0.55), (5.80, 0.5), (6.20, 0.15), (6.40, 1),
        (6.80, 1), (7.00, 0), (8.20, 0), (8.40, 0.5), (8.75, 0),
    ),
    "frown": ((7.00, 0), (7.20, 1), (7.55, 1), (7.75, 0)),
    "pitch": (
        (1.10, 0), (1.50, 5), (2.00, -3), (2.60, 5), (3.20, 0), (4.10, -4), (4.80, 2), (5.40, -7), (6.10, 0),
        (7.20, 8), (7.70, 0), (8.20, 4), (8.80, -2), (9.60, 0),
    ),
    "yaw": (
        (1.10, 0), (1.80, 7), (2.70, -6), (3.40, 0), (4.30, -15), (4.75, -15), (5.30, 0), (6.00, 0), (6.50, 15),
        (6.85, 15), (7.35, 0), (7.80, 0), (8.40, -8), (9.10, 5), (9.60, 0),
    ),
    "roll": (
        (1.20, 0), (2.00, -4), (3.00, 3), (3.70, 0), (4.40, 5), (5.10, 0), (6.50, -4), (7.20, 0), (8.40, 4),
        (9.50, 0),
    ),
}  # fmt: skip
"""Key frames (second, value): moods from 0 to 1, angles in degrees. Between the first and the last of two
equal values it rests; before the first and after the last it is what they say."""

BLINKS = (1.15, 3.66, 5.98, 7.30, 9.10)
BLINK = ((-0.075, 0.0), (0.0, 1.0), (0.04, 1.0), (0.15, 0.0))
GAZE_YAW, GAZE_PITCH = 0.42, 0.45  # radians that the eyes turn at ARKit weight 1, roughly


def minimum_jerk(time: float, keys: tuple[tuple[float, float], ...]) -> float:
    """The value at `time` of a movement through `keys`, at rest in each."""
    times, values = zip(*keys, strict=True)
    k = int(np.searchsorted(times, time, side="right"))
    if k == 0 or k == len(keys):
        return float(values[min(k, len(keys) - 1)])
    t = (time - times[k - 1]) / (times[k] - times[k - 1])
    return float(values[k - 1] + (values[k] - values[k - 1]) * t**3 * (10 - 15 * t + 6 * t * t))


def _spread(weights: dict[str, float], strength: float, into: dict[str, float]) -> None:
    for name, weight in weights.items():
        for side in ("Left", "Right") if name.endswith("*") else ("",):
            key = name.removesuffix("*") + side
            most = 1.4 if key.startswith("brow") else 1.0  # the shapes of the brows move little
            into[key] = min(most, into.get(key, 0.0) + weight * strength)


def _speech(time: float, into: dict[str, float]) -> None:
    for k, (_, viseme) in enumerate(SPEECH):
        keys = [(moment, float(other == k)) for other, (moment, _) in enumerate(SPEECH)]
        near = tuple(keys[max(0, k - 1) : k + 2])
        strength = minimum_jerk(time, near)
        if strength > 0:
            _spread(VISEMES[viseme], strength, into)


def idle(time: float) -> Array:
    """(6,) pitch, yaw, roll in radians and a shift in metres: small, and the same again after SECONDS."""
    turns = np.array([2, 1, 3, 1, 2, 1]) * 2 * np.pi * time / SECONDS
    phase = np.array([0.3, 1.1, 2.0, 0.5, 2.6, 4.0])
    return np.sin(turns + phase) * [0.008, 0.010, 0.006, 0.0012, 0.0010, 0.0015]


def act(time: float) -> tuple[dict[str, float], Array, Array]:
    """ARKit weights, head rotation (pitch, yaw, roll; radians) and shift (metres) at a second of the clip."""
    weights: dict[str, float] = {}
    _spread(MOODS["rest"], 1.0, weights)
    for mood in ("smile", "wide", "raise", "frown"):
        _spread(MOODS[mood], minimum_jerk(time, SCORE[mood]), weights)
    _speech(time, weights)
    for moment in BLINKS:
        _spread(MOODS["blink"], minimum_jerk(time - moment, BLINK), weights)
    restless = idle(time)
    angles = np.radians([minimum_jerk(time, SCORE[name]) for name in ("pitch", "yaw", "roll")])
    for (up, down), angle, full in (  # the eyes stay on the camera
        (("eyeLookUp*", "eyeLookDown*"), angles[0], GAZE_PITCH),
        (("eyeLookOutLeft eyeLookInRight", "eyeLookInLeft eyeLookOutRight"), angles[1], GAZE_YAW),
    ):
        share = min(1.0, abs(angle) / full)
        _spread(dict.fromkeys((up if angle > 0 else down).split(), 1.0), share, weights)
    return weights, angles + restless[:3], restless[3:]
