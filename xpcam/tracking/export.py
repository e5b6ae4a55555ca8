"""What was tracked in a video, as a table on disk: .npz for programs, .csv for everything else.

A .csv holds landmarks, or, as Live Link Face writes them, blend shapes (`live_link`).
"""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from xpcam.errors import OutputError
from xpcam.face.landmarks import LANDMARKS
from xpcam.face.model import ARKIT
from xpcam.frame import FaceParams, Floats
from xpcam.tracking import live_link

ENDINGS: Final = (".npz", ".csv")
WIDTHS: Final = (2 * LANDMARKS, 1, 3, 2, 1, len(ARKIT), 4)
"""How many numbers landmarks, confidence, rotation, translation, scale, expression and gaze are."""
CONFIDENCE: Final = WIDTHS[0]  # where a row has it


Layout = Literal["landmarks", "live-link"]
"""What the columns of a .csv are."""


@dataclass(frozen=True, slots=True)
class Track:
    """N frames; the rows of a frame without a face are NaN, its confidence 0.

    Attributes:
        seconds: (N,) float64, time in the video, from its first frame.
        landmarks: (N, 478, 2) float32, pixels of the frame.
        confidence: (N,) float32, 0 to 1.
        rotation: (N, 3) float32, axis-angle in radians (see `frame.Pose`).
        translation: (N, 2) float32, pixels.
        scale: (N,) float32, pixels per outer-eye distance.
        expression: (N, 52) float32, ARKit weights, 0 to 1, in the order of `face.model.ARKIT`.
        gaze: (N, 2, 2) float32, radians, as in `FaceParams`.
    """

    seconds: NDArray[np.float64]
    landmarks: Floats
    confidence: Floats
    rotation: Floats
    translation: Floats
    scale: Floats
    expression: Floats
    gaze: Floats

    @property
    def faces(self) -> int:
        """How many frames have a face."""
        return int(np.isfinite(self.scale).sum())


def collect(frames: Iterable[tuple[float, FaceParams | None]]) -> Track:
    """Times and tracked faces as arrays: views of one, for an hour of video takes 0.4 GB."""
    row = np.dtype([("seconds", np.float64), ("face", np.float32, sum(WIDTHS))])
    rows = np.fromiter(((seconds, _row(face)) for seconds, face in frames), row)
    seconds, faces = rows["seconds"], rows["face"]
    points, confidence, rotation, translation, scale, expression, gaze = np.split(
        faces, np.cumsum(WIDTHS[:-1]), axis=1
    )
    return Track(
        seconds - seconds[:1],
        points.reshape(-1, LANDMARKS, 2),
        confidence[:, 0],
        rotation,
        translation,
        scale[:, 0],
        expression,
        gaze.reshape(-1, 2, 2),
    )


def check_output(path: Path, layout: Layout = "landmarks") -> None:
    """Refuse a file that could not be written at the end, before the work is done.

    Raises:
        OutputError: the ending is neither .npz nor .csv (of Live Link's: not .csv), or the folder is missing.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"found --output {path}: wanted a name ending in .npz or .csv; choose another")
    if layout == "live-link" and path.suffix.lower() != ".csv":
        raise OutputError(f"found --output {path}: Live Link Face's tables end in .csv; choose such a name")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise OutputError(
            f"cannot write {path}, {wrong}: wanted a file in a folder that exists; choose another"
        )


def save(track: Track, path: Path, layout: Layout = "landmarks") -> None:
    """Write a track as .npz (arrays named as in `Track`) or .csv (one line a frame, empty where NaN).

    Args:
        track: what to write.
        path: where to.
        layout: the columns of a .csv; an .npz holds everything.

    Raises:
        OutputError: see `check_output`; or the disk refuses.
    """
    check_output(path, layout)
    try:
        if layout == "live-link":
            with path.open("w", newline="", encoding="utf-8") as table:
                live_link.write(_take(track), table)
        elif path.suffix.lower() == ".csv":
            _save_csv(track, path)
        else:
            with path.open("wb") as file:
                np.savez_compressed(
                    file,
                    seconds=track.seconds,
                    landmarks=track.landmarks,
                    confidence=track.confidence,
                    rotation=track.rotation,
                    translation=track.translation,
                    scale=track.scale,
                    expression=track.expression,
                    gaze=track.gaze,
                    blendshape_names=np.array(ARKIT),
                )
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): wanted a writable file; choose another place"
        ) from error


def _row(face: FaceParams | None) -> Floats:
    row = np.full(sum(WIDTHS), np.nan, np.float32)
    if face is None:
        row[CONFIDENCE] = 0.0
        return row
    pose = face.pose
    parts = (face.landmarks[:, :2], [face.confidence], pose.rotation, pose.translation, [pose.scale])
    np.concatenate([np.ravel(part) for part in (*parts, face.expression, face.gaze)], out=row)
    return row


def _take(track: Track) -> live_link.Take:
    head = [
        (np.nan,) * 3 if np.isnan(rotation[0]) else live_link.head_angles(rotation)
        for rotation in track.rotation
    ]
    angles = np.array(head, np.float32).reshape(-1, 3)
    return live_link.Take(track.seconds, track.expression, angles, track.gaze)


def _save_csv(track: Track, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_header())
        parts = (track.confidence, track.rotation, track.translation, track.scale, track.landmarks)
        for index, values in enumerate(zip(*parts, strict=True)):
            row = np.concatenate([np.ravel(value) for value in values])
            writer.writerow([index, *("" if np.isnan(value) else f"{value:.6g}" for value in row)])


def _header() -> Iterator[str]:
    yield from ("frame", "confidence", "rotation_x", "rotation_y", "rotation_z")
    yield from ("translation_x", "translation_y", "scale")
    for index in range(LANDMARKS):
        yield from (f"x{index}", f"y{index}")
