"""A clip as a target, prepared once: pictures at output size, the face in each, the person's neutral face.

Pictures are kept as JPEGs: ten seconds of 1280x720 would fill 830 MB otherwise.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.camera.video import Decoder, open_file
from xpcam.errors import CameraError, TargetError
from xpcam.face.landmarks import (
    LEFT_LIDS,
    RIGHT_LIDS,
    fit_pose,
    gap,
    outer_eye_distance,
    rotation_matrix,
    unpose,
)
from xpcam.frame import FaceParams, Floats, Frame, Pixels, Pose
from xpcam.progress import Progress
from xpcam.retargeting.neutral import Neutral, estimate
from xpcam.target import still
from xpcam.target.clip_loop import Loop, find_loop, thumbnail

SUFFIXES: Final = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".ts")
MAX_BYTES: Final = 1_000_000_000
MAX_SIDE: Final = 4096
MAX_SECONDS: Final = 60.0
MAX_FRAMES: Final = 1800
MAX_JPEG_BYTES: Final = 250_000_000  # what all pictures together may take in memory
QUALITY: Final = (90, 80)  # of the JPEGs of a short clip, and of a long one
LONG: Final = 900  # frames from which a clip is long
FACES_WANTED: Final = 0.5  # share of the frames that must show the face
LOOKED_AROUND: Final = 6  # frames in which several faces are looked for
STEADY = (0.8, 1.6)  # how far landmarks, and the pose, are smoothed over time, frames (sigma)
BRIDGED = 6  # frames without a face between two with one that are filled in
EASED = 8  # frames over which a target stops following before the clip shows no face


class Tracker(Protocol):
    """What finds the face (`xpcam.tracking.FaceTracker`, unsmoothed, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...

    def locate(self, pixels: Pixels) -> list[FaceParams]: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class TargetClip:
    """A clip of N pictures and M moments.

    Attributes:
        pictures: N JPEGs at output size.
        bounds: (left, top, right, bottom) of the clip itself within each, pixels.
        landmarks: (N, 478, 3) float32, pixels.
        poses: (N, 6) float32: rotation (3), translation (2), scale of each.
        trust: (N,) float32, 1 where the face can be moved, 0 where there is none.
        order: (M,) which picture each moment of one round shows.
        starts: (M + 1,) seconds at which each moment begins, and the round ends.
        neutral: (478, 3) float32, the neutral face of who is in the clip.
        reference: the picture whose eyes are open and look ahead.
    """

    pictures: tuple[bytes, ...]
    bounds: tuple[int, int, int, int]
    landmarks: Floats
    poses: Floats
    trust: Floats
    order: NDArray[np.intp]
    starts: NDArray[np.float64]
    neutral: Floats
    reference: int

    def moment(self, seconds: float) -> int:
        """Which moment is shown `seconds` after the first one began."""
        within = seconds % float(self.starts[-1])
        return min(int(np.searchsorted(self.starts, within, side="right")) - 1, len(self.order) - 1)

    def face(self, picture: int) -> FaceParams:
        """The face in a picture."""
        return _face(self.landmarks[picture], self.poses[picture])

    def decoded(self, picture: int) -> Pixels:
        """(height, width, 3) a picture."""
        return _decoded(self.pictures[picture])


@dataclass(frozen=True, slots=True)
class _Reading:
    """What was read: JPEGs, faces (None where there was none), thumbnails, and presentation times."""

    pictures: list[bytes]
    faces: list[FaceParams | None]
    thumbnails: list[Floats]
    times: list[float]
    bounds: tuple[int, int, int, int]


def is_clip(path: Path) -> bool:
    """Whether a target is a clip, by its name."""
    return path.suffix.lower() in SUFFIXES


def read_clip(path: Path, size: tuple[int, int], tracker: Tracker, progress: Progress) -> TargetClip:
    """Read a clip, find its face in every frame, and where it loops.

    Raises:
        TargetError: missing, damaged, too large or too long, or hardly a face, or several.
    """
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise TargetError(f"target {path}: the file has over {MAX_BYTES // 1_000_000} MB; cut it shorter")
    try:
        decoder = open_file(path, size)
        try:
            _check_bounds(path, decoder)
            reading = _read(path, decoder, size, tracker, progress)
        finally:
            decoder.close()
    except CameraError as error:
        raise TargetError(f"target {error}") from error
    _check_faces(path, reading)
    return _assembled(reading, decoder.fps)


def _check_bounds(path: Path, decoder: Decoder) -> None:
    if max(decoder.size) > MAX_SIDE:
        found = f"{decoder.size[0]}x{decoder.size[1]}"
        raise TargetError(f"target {path}: {found} pixels; at most {MAX_SIDE} a side, scale the clip down")
    if decoder.duration is not None and decoder.duration > MAX_SECONDS + 0.5:
        raise TargetError(_too_long(path, f"{decoder.duration:.0f} seconds"))
    if (decoder.frame_count or 0) > MAX_FRAMES:
        raise TargetError(_too_long(path, f"{decoder.frame_count} frames"))


def _too_long(path: Path, found: str) -> str:
    most = f"at most {MAX_SECONDS:.0f} seconds and {MAX_FRAMES} frames"
    return f"target {path}: the clip has {found}; {most}, cut it shorter"


def _read(
    path: Path, decoder: Decoder, size: tuple[int, int], tracker: Tracker, progress: Progress
) -> _Reading:
    reading = _Reading([], [], [], [], (0, 0, 0, 0))
    total = decoder.frame_count
    every = max(1, (total or 100) // LOOKED_AROUND)
    crowded, held = [], 0
    while (picture := decoder.read()) is not None:
        number = len(reading.times)
        if number >= MAX_FRAMES or picture.time - (reading.times or [picture.time])[0] > MAX_SECONDS + 0.5:
            raise TargetError(_too_long(path, "more"))
        canvas, bounds, scale = still.fit(picture.pixels, size)
        face = tracker.track(Frame(picture.pixels, number, picture.time))
        if number % every == 0:
            crowded.append(_rivals(tracker.locate(picture.pixels)))
        reading.faces.append(None if face is None else still.fitted(face, bounds, scale))
        reading.pictures.append(_encoded(canvas, long=(total or 0) > LONG))
        reading.thumbnails.append(thumbnail(canvas))
        reading.times.append(picture.time)
        reading = replace(reading, bounds=bounds) if number == 0 else reading
        held += len(reading.pictures[-1])
        if held > MAX_JPEG_BYTES:
            raise TargetError(
                f"target {path}: its pictures take over {MAX_JPEG_BYTES // 1_000_000} MB at "
                f"{size[0]}x{size[1]}; cut the clip shorter or choose a smaller --size"
            )
        progress(number + 1, total)
    tracker.reset()
    if np.median(crowded) > 1:
        raise TargetError(
            f"target {path}: {int(np.median(crowded))} faces found; wanted one, crop the clip to it"
        )
    return reading


def _rivals(faces: list[FaceParams]) -> int:
    sizes = [outer_eye_distance(face.landmarks) for face in faces]
    return sum(size > 0.5 * sizes[0] for size in sizes)


def _check_faces(path: Path, reading: _Reading) -> None:
    found = [face for face in reading.faces if face is not None]
    if len(found) < FACES_WANTED * len(reading.faces):
        raise TargetError(
            f"target {path}: a face in {len(found)} of {len(reading.faces)} frames; wanted one in most of "
            "them, facing the camera, well lit: cut the clip to where it is"
        )
    still.the_face(path, sorted(found, key=lambda face: face.pose.scale)[len(found) // 2 :][:1])


def _assembled(reading: _Reading, fps: float) -> TargetClip:
    seen = np.array([face is not None for face in reading.faces])
    landmarks = _steadied(_filled(reading.faces), STEADY[0])
    fitted = [fit_pose(points) for points in landmarks]
    rows = np.array([[*pose.rotation, *pose.translation, pose.scale] for pose in fitted], np.float32)
    poses = _steadied(rows, STEADY[1])
    trust = _trust(seen)
    faces = [_face(points, row) for points, row in zip(landmarks, poses, strict=True)]
    samples = [(unpose(face.landmarks, face.pose), face) for face in np.array(faces, object)[seen]]
    neutral = estimate(samples)
    scale = float(np.median(poses[:, 5]))
    loop = find_loop(landmarks, scale, np.stack(reading.thumbnails), trust, fps)
    pictures = list(reading.pictures)
    _fade(pictures, landmarks, poses, loop)
    within = np.arange(loop.first, loop.last)
    order = loop.order()
    lengths = np.diff(reading.times, append=reading.times[-1] + 1 / fps)[order]
    return TargetClip(
        tuple(pictures[index] for index in within),
        reading.bounds,
        landmarks[within],
        poses[within],
        trust[within],
        order - loop.first,
        np.concatenate([[0.0], np.cumsum(np.maximum(lengths, 1e-3))]),
        neutral.face,
        _reference([faces[index] for index in within], neutral, trust[within]),
    )


def _face(landmarks: Floats, pose: Floats) -> FaceParams:
    """(478, 3) and (6,): rotation, translation, scale."""
    return FaceParams(landmarks, Pose(pose[:3], pose[3:5], float(pose[5])), 1.0)


def _filled(faces: list[FaceParams | None]) -> Floats:
    """(N, 478, 3) landmarks, on a straight way from the last face to the next where there is none."""
    known = [index for index, face in enumerate(faces) if face is not None]
    rows = np.stack([face.landmarks for face in faces if face is not None])
    place = np.interp(np.arange(len(faces)), known, np.arange(len(known)))
    before = np.floor(place).astype(int)
    after = np.minimum(before + 1, len(known) - 1)
    share = (place - before).astype(np.float32)[:, None, None]
    return np.asarray(rows[before] * (1 - share) + rows[after] * share, np.float32)


def _steadied(values: Floats, sigma: float) -> Floats:
    """(N, ...) values smoothed over time, with no lag."""
    flat = np.ascontiguousarray(values.reshape(len(values), -1))
    reach = 2 * round(3 * sigma) + 1
    smooth = cv2.GaussianBlur(flat, (1, reach), 0.1, sigmaY=sigma, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, np.float32).reshape(values.shape)


def _trust(seen: NDArray[np.bool_]) -> Floats:
    """(N,) 1 where there is a face, or was one just before and is one just after; 0 elsewhere, eased."""
    kernel = np.ones((1, BRIDGED + 1), np.uint8)
    row = np.pad(seen.astype(np.uint8)[None], ((0, 0), (BRIDGED, BRIDGED)), mode="edge")
    bridged = cv2.morphologyEx(row, cv2.MORPH_CLOSE, kernel)[0, BRIDGED:-BRIDGED]
    lost = np.flatnonzero(bridged == 0)
    if len(lost) == 0:
        return np.ones(len(seen), np.float32)
    away = np.abs(np.arange(len(seen))[:, None] - lost).min(axis=1)
    ramp = np.minimum(away / EASED, 1.0)
    return np.asarray(ramp * ramp * (3.0 - 2.0 * ramp), np.float32)


def _fade(pictures: list[bytes], landmarks: Floats, poses: Floats, loop: Loop) -> None:
    """Fade what leads up to the loop's end into what leads up to its beginning, in place."""
    for step in range(loop.fade):
        here, there = loop.last - loop.fade + step, loop.first - loop.fade + step
        share = (step + 1) / (loop.fade + 1)
        mixed = cv2.addWeighted(_decoded(pictures[here]), 1 - share, _decoded(pictures[there]), share, 0)
        pictures[here] = _encoded(np.asarray(mixed, np.uint8))
        for values in (landmarks, poses):
            values[here] += (values[there] - values[here]) * np.float32(share)


def _reference(faces: list[FaceParams], neutral: Neutral, trust: Floats) -> int:
    """The frame with open eyes that look ahead, its head held as it mostly is."""
    lids = RIGHT_LIDS + LEFT_LIDS
    opened = gap(neutral.face, lids)
    held = rotation_matrix(neutral.pose.rotation)
    costs = []
    for face, sure in zip(faces, trust, strict=True):
        off = abs(gap(unpose(face.landmarks, face.pose), lids) - opened) / max(opened, 1e-3)
        turned = float(np.abs(rotation_matrix(face.pose.rotation) - held).max())
        costs.append(off + turned + (10.0 if sure < 1 else 0.0))
    return int(np.argmin(costs))


def _encoded(picture: Pixels, *, long: bool = False) -> bytes:
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY[long]])
    assert done  # JPEG takes every picture of up to 65,535 a side
    return data.tobytes()


def _decoded(data: bytes) -> Pixels:
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
