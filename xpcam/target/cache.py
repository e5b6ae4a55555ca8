"""Prepared clips, kept between runs: one file for each in the user's cache folder.

A file is named by the hash of all that it was made from, written beside its place and then moved there,
and readable by its owner alone. Where it cannot be kept, a line says so and the run goes on.
"""

import hashlib
import logging
import os
import tempfile
import zipfile
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np

from xpcam.errors import TargetError
from xpcam.face.landmarks import LANDMARKS
from xpcam.resources import shipped
from xpcam.target.clip import TargetClip

log = logging.getLogger(__name__)

VERSION: Final = 1  # of what a file holds; raise it when preparing a clip changes
MAX_BYTES: Final = 1_000_000_000  # of all files together; the oldest go first
DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)
"""What reading a damaged .npz raises."""


def cache_folder() -> Path:
    """Where prepared clips are kept: `$XDG_CACHE_HOME/xpcam/clips`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "xpcam" / "clips"


def place_of(clip: Path, size: tuple[int, int]) -> Path:
    """The file for a clip at an output size: by its content, what reads it, and `VERSION`.

    Raises:
        TargetError: the clip cannot be read.
    """
    digest = hashlib.sha256(f"{VERSION} {size[0]}x{size[1]}".encode())
    try:
        for source in (clip, shipped("face_params.onnx"), shipped("face_detector.onnx")):
            with source.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        raise TargetError(f"target {clip} cannot be read ({error.strerror}); check its name") from error
    return cache_folder() / f"{digest.hexdigest()}.npz"


def load(place: Path) -> TargetClip | None:
    """The clip kept at `place`; None where there is none, or none that can be used."""
    if not place.is_file():
        return None
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as data:
            clip = _clip(data)
    except DAMAGE as error:
        log.warning("the prepared clip %s cannot be used (%s); it is made anew", place, error)
        return None
    return clip


def save(clip: TargetClip, place: Path) -> None:
    """Keep a clip at `place`; a warning where that does not work."""
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".part", dir=place.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                _write(clip, file)
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(place)
        finally:
            Path(name).unlink(missing_ok=True)
        _prune(place)
    except OSError as error:
        reason = error.strerror or error
        log.warning(
            "the prepared clip is not kept in %s (%s): it is made anew next time", place.parent, reason
        )


def _write(clip: TargetClip, file: BinaryIO) -> None:
    pictures = {_member(index): np.frombuffer(data, np.uint8) for index, data in enumerate(clip.pictures)}
    np.savez(
        file,
        allow_pickle=False,
        **pictures,  # one by one: joined, a long clip would take its memory twice
        bounds=np.array(clip.bounds),
        landmarks=clip.landmarks,
        poses=clip.poses,
        trust=clip.trust,
        order=clip.order,
        starts=clip.starts,
        neutral=clip.neutral,
        reference=np.array(clip.reference),
    )


def _clip(data: "np.lib.npyio.NpzFile") -> TargetClip:
    """Raises ValueError or KeyError where something is missing or does not fit."""
    count = len(data["trust"])
    left, top, right, bottom = (int(side) for side in data["bounds"])
    clip = TargetClip(
        tuple(data[_member(index)].tobytes() for index in range(count)),
        (left, top, right, bottom),
        data["landmarks"],
        data["poses"],
        data["trust"],
        data["order"].astype(np.intp),
        data["starts"],
        data["neutral"],
        int(data["reference"]),
    )
    shapes = (clip.landmarks.shape, clip.poses.shape, clip.trust.shape, clip.neutral.shape)
    if (
        shapes != ((count, LANDMARKS, 3), (count, 6), (count,), (LANDMARKS, 3))
        or clip.starts.shape != (len(clip.order) + 1,)
        or not 0 <= clip.reference < count
        or not (clip.order.min() >= 0 and clip.order.max() < count)
    ):
        raise ValueError("its parts do not fit together")
    return clip


def _member(index: int) -> str:
    return f"picture{index:04d}"


def _prune(newest: Path) -> None:
    """Remove the oldest files until the rest fit."""
    kept = sorted(newest.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime, reverse=True)
    total = 0
    for path in [newest, *(path for path in kept if path != newest)]:
        total += path.stat().st_size
        if total > MAX_BYTES and path != newest:
            path.unlink(missing_ok=True)
