"""How steady the product is: measured on portraits that move in a known way, under a camera's noise.

    python -m engines.stability [--raw]

A portrait is moved by exact affine maps (jitter), or makes an expression through the product's own renderer
(blink, lips), so that what should be seen is known. All lengths are per cent of the outer-eye distance.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import openpeople

from xpcam.builders import open_tracker
from xpcam.face.landmarks import (
    LEFT_BROW,
    LEFT_LIDS,
    LIPS_APART,
    RIGHT_BROW,
    RIGHT_LIDS,
    columns,
    outer_eye_distance,
)
from xpcam.face.model import ARKIT
from xpcam.frame import FaceParams, Floats, Frame, Pixels
from xpcam.rendering.renderer import Renderer
from xpcam.retargeting.neutral import NeutralFinder
from xpcam.retargeting.parameter_file import motion_of
from xpcam.retargeting.retargeter import Gains, Motion, Retargeter, observe
from xpcam.settings import Settings
from xpcam.target import still as target
from xpcam.tracking.tracker import FaceTracker

RATE = 30.0  # frames a second
NOISE = 3.0  # standard deviation of a sensor's noise, of 255
SIZE = (640, 480)
PEOPLE = ("P008", "P009", "P010")  # no engine has learned from them
SMOOTH = 15  # frames over which the path of a moving face is taken to be smooth
SETTLED = 15  # frames after which nobody looks at how a face was found
BLINK = 0.15  # seconds
JITTER, BREATHING = 0.3, 0.5  # per cent, at most, as the issue asks

Path2D = Callable[[float], Floats]
"""Seconds -> (2, 3) affine map of the portrait's pixels."""


@dataclass(frozen=True, slots=True)
class Stability:
    """What was measured on one portrait.

    Attributes:
        still: rms of all landmarks about their mean, nothing moving, per cent.
        turning: rms about a smooth path while the head rolls, drifts and comes nearer, per cent.
        blink_kept: share of a blink's depth that is tracked; 1 is all of it.
        lip_lag: frames by which tracked lips come after the real ones.
        lips_kept: share of the lips' opening that is tracked.
        tracked_brows: how far opening the lips moves the tracked brows, per cent.
        output_brows: the same in what the target is told to do.
    """

    still: float
    turning: float
    blink_kept: float
    lip_lag: float
    lips_kept: float
    tracked_brows: float
    output_brows: float


def still(_seconds: float) -> Floats:
    """Nothing moves."""
    return np.eye(2, 3, dtype=np.float32)


def turning(seconds: float) -> Floats:
    """The head rolls 5 degrees to each side in 6 s, and drifts and comes nearer a little meanwhile."""
    phase = 2 * np.pi * seconds / 6.0
    about = (SIZE[0] / 2.0, SIZE[1] / 2.0)
    matrix = cv2.getRotationMatrix2D(about, 5.0 * np.sin(phase), 1.0 + 0.04 * np.sin(0.7 * phase))
    matrix[:, 2] += 8.0 * np.sin(0.8 * phase), 5.0 * np.sin(1.1 * phase)
    return np.asarray(matrix, np.float32)


def moved(picture: Pixels, path: Path2D, frames: int, seed: int = 0) -> Iterator[tuple[Frame, Floats]]:
    """Noisy frames of the picture on its path, each with its map."""
    for index in range(frames):
        matrix = path(index / RATE)
        pixels = cv2.warpAffine(picture, matrix, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        yield noisy(np.asarray(pixels, np.uint8), index, seed), matrix


def noisy(pixels: Pixels, index: int, seed: int = 0) -> Frame:
    """A frame of the pixels as a camera would see them."""
    noise = np.random.default_rng((seed, index)).normal(0.0, NOISE, pixels.shape)
    return Frame(np.clip(pixels + noise, 0, 255).astype(np.uint8), index, index / RATE)


def jitter(tracker: FaceTracker, picture: Pixels, path: Path2D, frames: int = 120) -> float:
    """Rms distance of all landmarks from a smooth path, per cent; the known motion is taken out first."""
    tracker.reset()
    places = []
    for frame, matrix in moved(picture, path, frames):
        face = tracker.track(frame)
        assert face is not None
        back = cv2.invertAffineTransform(matrix)
        places.append(face.landmarks[:, :2] @ back[:, :2].T + back[:, 2])
    track = np.array(places[SETTLED:])
    away = track - (track.mean(axis=0) if path is still else _smooth(track))
    span = np.linalg.norm(track[0, 263] - track[0, 33])
    return 100.0 * float(np.sqrt((away**2).sum(axis=2).mean()) / span)


def _smooth(track: Floats) -> Floats:
    """The track's mean over `SMOOTH` frames, shrinking towards its ends."""
    total = np.concatenate([np.zeros_like(track[:1]), np.cumsum(track, axis=0)])
    index = np.arange(len(track))
    reach = np.minimum(np.minimum(index, len(track) - 1 - index), SMOOTH // 2)
    means = (total[index + reach + 1] - total[index - reach]) / (2 * reach + 1)[:, None, None]
    return np.asarray(means)


class Actor:
    """A portrait that makes expressions on request, through the product's own renderer."""

    def __init__(self, tracker: FaceTracker, picture: Pixels) -> None:
        face = tracker.locate(picture)[0]
        prepared = target.prepare(picture, face, SIZE)
        self._renderer = Renderer(prepared)
        self._retargeter = Retargeter(prepared.params, Gains())

    def act(self, motion: Motion) -> tuple[Pixels, Floats]:
        """The portrait making the motion: pixels, and where its (478, 3) landmarks went."""
        params = self._retargeter.apply(motion)
        return self._renderer.render(params).copy(), params.landmarks


def weights(**given: float) -> Motion:
    """The motion of some blend shapes."""
    expression = np.array([given.get(name, 0.0) for name in ARKIT], np.float32)
    return motion_of(expression, np.zeros(3, np.float32), np.zeros((2, 2), np.float32))


def opening(landmarks: Floats, pairs: tuple[tuple[int, int], ...]) -> float:
    """Mean distance between pairs of landmarks over the eye distance."""
    upper, lower = columns(pairs)
    apart = np.linalg.norm(landmarks[lower, :2] - landmarks[upper, :2], axis=1)
    return float(apart.mean()) / outer_eye_distance(landmarks)


def followed(
    tracker: FaceTracker, actor: Actor, motions: Iterable[Motion], seed: int = 0
) -> tuple[list[Floats], list[FaceParams]]:
    """True landmarks and tracked faces of an actor making motions, frame after frame."""
    tracker.reset()
    truths, faces = [], []
    for index, motion in enumerate(motions):
        pixels, landmarks = actor.act(motion)
        face = tracker.track(noisy(pixels, index, seed))
        assert face is not None
        truths.append(landmarks)
        faces.append(face)
    return truths, faces


def blink_kept(tracker: FaceTracker, actor: Actor) -> float:
    """Share of the depth of a blink of 150 ms that is tracked."""
    at = (np.arange(50) - 30) / RATE
    closed = np.where((at > 0) & (at < BLINK), np.sin(np.pi * at / BLINK) ** 2, 0.0)
    motions = (weights(eyeBlinkLeft=float(c), eyeBlinkRight=float(c)) for c in closed)
    truths, faces = followed(tracker, actor, motions)
    real, seen = (
        np.array([opening(points, RIGHT_LIDS + LEFT_LIDS) for points in landmarks])
        for landmarks in (truths, [face.landmarks for face in faces])
    )
    depths = [1.0 - row[30:].min() / row[20:30].mean() for row in (seen, real)]
    return float(depths[0] / depths[1])


def talking(seconds: float) -> float:
    """How open the jaw is, 0 to 1: shut for a second, then words."""
    return 0.0 if seconds < 1.0 else 0.22 * (1.0 - np.cos(2 * np.pi * 2.5 * seconds))


def yawning(seconds: float) -> float:
    """How open the jaw is, 0 to 1: shut for a second, then slowly open and shut, too slow to be smoothed away."""
    return 0.0 if seconds < 1.0 else 0.22 * (1.0 - np.cos(np.pi * (seconds - 1.0)))


def talk(tracker: FaceTracker, actor: Actor, frames: int = 75) -> tuple[float, float]:
    """Lag of the lips in frames, and the share of their opening that is kept."""
    truths, faces = followed(tracker, actor, [weights(jawOpen=talking(i / RATE)) for i in range(frames)])
    real = np.array([opening(points, LIPS_APART) for points in truths])
    seen = np.array([opening(face.landmarks, LIPS_APART) for face in faces])
    return lag(real[SETTLED:], seen[SETTLED:]), float(seen.std() / real.std())


def breathing(tracker: FaceTracker, actor: Actor, frames: int = 90) -> tuple[float, float]:
    """How far lips that open move the tracked brows and the output's, per cent."""
    truths, faces = followed(tracker, actor, [weights(jawOpen=yawning(i / RATE)) for i in range(frames)])
    real = np.array([opening(points, LIPS_APART) for points in truths])
    finder, output = NeutralFinder(), Retargeter(faces[0], Gains())
    shown = []
    for index, face in enumerate(faces):
        neutral = finder.update(face, index / RATE)
        assert neutral is not None
        shown.append(output.apply(observe(face, neutral)).landmarks)
    tracked, told = (
        brow_motion(np.array(points)[SETTLED:], np.array(truths)[SETTLED:], real[SETTLED:])
        for points in ([face.landmarks for face in faces], shown)
    )
    return tracked, told


def brow_motion(points: Floats, truths: Floats, opened: Floats) -> float:
    """How far the brows move as the lips open all the way: the slope of their place over the opening, per cent.

    The slope, over (N, 478, 3) frames, leaves out the jitter, which has a number of its own. What the brows
    really did (`truths`) is taken off.
    """
    against = opened - opened.mean()
    worst = 0.0
    for brow in (RIGHT_BROW, LEFT_BROW):
        away = points[:, list(brow), :2].mean(axis=1) - truths[:, list(brow), :2].mean(axis=1)
        slope = against @ (away - away.mean(axis=0)) / (against @ against)
        worst = max(worst, float(np.linalg.norm(slope)) * float(np.ptp(opened)))
    return 100.0 * worst / outer_eye_distance(truths[0])


def lag(real: Floats, seen: Floats) -> float:
    """Frames by which `seen` comes after `real`: where their correlation peaks, between frames too."""
    shifts = range(-1, 7)
    size = len(real) - 7
    scores = [np.corrcoef(real[1 : 1 + size], seen[1 + shift : 1 + shift + size])[0, 1] for shift in shifts]
    best = int(np.clip(np.argmax(scores), 1, len(scores) - 2))
    before, peak, after = scores[best - 1 : best + 2]
    return shifts[best] + 0.5 * float((before - after) / (before - 2 * peak + after))


def portrait(person: str) -> Pixels:
    """The generated person's portrait, fitted into `SIZE`."""
    picture = target.load_picture(Path(openpeople.curated.get(person).asset_path("studio_portrait")))
    scale = SIZE[1] / picture.shape[0]
    matrix = np.array([[scale, 0, (SIZE[0] - scale * picture.shape[1]) / 2], [0, scale, 0]], np.float32)
    small = cv2.GaussianBlur(picture, (0, 0), 0.5 / scale)
    return np.asarray(
        cv2.warpAffine(small, matrix, SIZE, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    )


def measure(tracker: FaceTracker, picture: Pixels) -> Stability:
    """All of it on one portrait."""
    steady, turned = (jitter(tracker, picture, path) for path in (still, turning))
    actor = Actor(tracker, picture)
    kept = blink_kept(tracker, actor)
    return Stability(steady, turned, kept, *talk(tracker, actor), *breathing(tracker, actor))


def report(rows: list[Stability]) -> Iterator[str]:
    """Lines: the mean and the worst of each number, beside its bar where it has one."""
    yield f"steadiness, of {len(rows)} portraits under noise of {NOISE:g} (per cent of the outer-eye distance):"
    bars = {"still": JITTER, "turning": JITTER, "tracked_brows": BREATHING, "output_brows": BREATHING}
    units = dict.fromkeys(bars, "%") | {"lip_lag": "frames"}
    for name in (field.name for field in fields(Stability)):
        values = np.array([getattr(row, name) for row in rows])
        line = f"  {name.replace('_', ' '):<14} {values.mean():6.3f} {units.get(name, '')}"
        if name in bars:
            met = "met" if values.max() <= bars[name] else "NOT met"
            line += f", worst {values.max():.3f} (at most {bars[name]})   {met}"
        yield line


def measure_all(*, smoothing: bool = True) -> list[Stability]:
    """`measure` on everybody of `PEOPLE`, with the shipped engines."""
    with open_tracker(Settings(smoothing=smoothing)) as tracker:
        return [measure(tracker, portrait(person)) for person in PEOPLE]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="How steady the tracker and the output are.")
    parser.add_argument("--raw", action="store_true", help="without smoothing")
    print("\n".join(report(measure_all(smoothing=not parser.parse_args().raw))))


if __name__ == "__main__":
    main()
