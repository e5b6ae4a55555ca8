"""What was tracked in a video, as a table on disk: .npz for programs, .csv for everything else."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from xpcam.errors import OutputError
from xpcam.face_landmarks import LANDMARKS
from xpcam.frame import FaceParams, Floats

ENDINGS: Final = (".npz", ".csv")


@dataclass(frozen=True, slots=True)
class Track:
    """N frames; the rows of a frame without a face are NaN, its confidence 0.

    Attributes:
        landmarks: (N, 478, 2) float32, pixels of the frame.
        confidence: (N,) float32, 0 to 1.
        rotation: (N, 3) float32, axis-angle in radians (see `frame.Pose`).
        translation: (N, 2) float32, pixels.
        scale: (N,) float32, pixels per outer-eye distance.
    """

    landmarks: Floats
    confidence: Floats
    rotation: Floats
    translation: Floats
    scale: Floats

    @property
    def faces(self) -> int:
        """How many frames have a face."""
        return int(np.isfinite(self.scale).sum())


def collect(frames: Iterable[FaceParams | None]) -> Track:
    """Tracked faces, one for each frame, as arrays: views of one, for an hour of video takes 0.4 GB."""
    row = np.dtype((np.float32, 2 * LANDMARKS + 7))
    rows: Floats = np.fromiter((_row(face) for face in frames), row)
    points, confidence, rotation, translation, scale = np.split(
        rows, np.cumsum([2 * LANDMARKS, 1, 3, 2]), axis=1
    )
    return Track(points.reshape(-1, LANDMARKS, 2), confidence[:, 0], rotation, translation, scale[:, 0])


def check_output(path: Path) -> None:
    """Refuse a file that could not be written at the end, before the work is done.

    Raises:
        OutputError: the ending is neither .npz nor .csv, or the folder is missing.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"found --output {path}: wanted a name ending in .npz or .csv; choose another")
    if path.is_dir() or not path.parent.is_dir():
        wrong = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise OutputError(
            f"cannot write {path}, {wrong}: wanted a file in a folder that exists; choose another"
        )


def save(track: Track, path: Path) -> None:
    """Write a track as .npz (arrays named as in `Track`) or .csv (one line a frame, empty where NaN).

    Raises:
        OutputError: see `check_output`; or the disk refuses.
    """
    check_output(path)
    try:
        if path.suffix.lower() == ".csv":
            _save_csv(track, path)
        else:
            with path.open("wb") as file:
                np.savez_compressed(
                    file,
                    landmarks=track.landmarks,
                    confidence=track.confidence,
                    rotation=track.rotation,
                    translation=track.translation,
                    scale=track.scale,
                )
    except OSError as error:
        raise OutputError(
            f"cannot write {path} ({error.strerror}): wanted a writable file; choose another place"
        ) from error


def _row(face: FaceParams | None) -> Floats:
    row = np.full(2 * LANDMARKS + 7, np.nan, np.float32)
    if face is None:
        row[2 * LANDMARKS] = 0.0
        return row
    parts = (face.landmarks[:, :2].ravel(), [face.confidence], face.pose.rotation, face.pose.translation)
    row[:] = np.concatenate([*parts, [face.pose.scale]])
    return row


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
