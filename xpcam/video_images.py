"""A video to pictures in a folder, and pictures to a video: for people, and for training on their clips."""

import errno
import logging
import math
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import av
import cv2
import numpy as np
from av.error import FFmpegError

from xpcam.camera.video_file import read_video
from xpcam.errors import CameraError, OutputError, TargetError
from xpcam.frame import Frame, Pixels
from xpcam.progress import Progress
from xpcam.target.still import fit, load_picture
from xpcam.virtual_camera.file import SUFFIXES, VideoFile

log = logging.getLogger(__name__)

Kind = Literal["png", "jpg"]

PICTURES: Final = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
ENCODED: Final = {"png": [cv2.IMWRITE_PNG_COMPRESSION, 3], "jpg": [cv2.IMWRITE_JPEG_QUALITY, 95]}
NAME: Final = re.compile(r"frame-\d{6,}\.(png|jpg)")
MOST: Final = 1_000_000  # pictures of a folder
ROOM: Final = 64_000_000  # bytes that stay free
EARLY: Final = 1e-3  # seconds that a frame may come before it is due


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        count: pictures.
        size: (width, height) of the last one, pixels.
        fps: pictures per second at which they play as the video did.
        sound: whether the video has sound.
    """

    count: int
    size: tuple[int, int]
    fps: float
    sound: bool


def to_images(
    video: Path,
    folder: Path,
    progress: Progress,
    *,
    every: int = 1,
    fps: float = 0.0,
    kind: Kind = "png",
    force: bool = False,
) -> Written:
    """Write a video's pictures as frame-000000.png and so on; the numbers are those of the video's frames.

    Args:
        video: the video.
        folder: made where it is missing; wanted empty.
        progress: told the frames that were read.
        every: of so many frames one is written.
        fps: at most so many a second are written; 0: all.
        kind: PNG keeps every pixel, JPEG is a tenth as large.
        force: write into a folder that holds something; pictures that were written so before are removed.

    Raises:
        CameraError: the video cannot be read.
        OutputError: the folder holds something, or takes no more.
    """
    with read_video(video) as frames:
        _make_room(folder, force)
        count, size = 0, (0, 0)
        for frame in _chosen(frames, every, fps):
            _write(folder / f"frame-{frame.sequence:06d}.{kind}", frame.pixels, kind, count)
            count, size = count + 1, (frame.pixels.shape[1], frame.pixels.shape[0])
            progress(frame.sequence + 1, frames.frame_count)
        rate = frames.fps / every
    return Written(count, size, min(rate, fps) if fps else rate, _has_sound(video))


def to_video(
    folder: Path,
    video: Path,
    progress: Progress,
    *,
    fps: float = 25.0,
    every: int = 1,
    size: tuple[int, int] | None = None,
    sound: Path | None = None,
    force: bool = False,
) -> Written:
    """Make a video of a folder's pictures in the order of their names, 2 before 10.

    Args:
        folder: the pictures; other files in it are left out.
        video: the file to write.
        progress: told the pictures that were written, and of how many.
        fps: pictures per second.
        every: of so many pictures one is taken.
        size: (width, height) into which each is fitted; None: all have one size.
        sound: a video or sound file whose sound goes along.
        force: write over an older video.

    Raises:
        CameraError: no pictures, one that cannot be read or has another size; a file without sound.
        OutputError: the video is there already, or cannot be written.
    """
    paths = pictures_of(folder)[::every]
    if video.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{video} is no video file: wanted a name that ends in {', '.join(SUFFIXES)}")
    if video.exists() and not force:
        raise OutputError(f"{video} is there already: choose another name, or write over it with --force")
    if sound is not None and not _has_sound(sound):
        raise CameraError(f"--sound {sound} has no sound: wanted a video or sound file; leave it out")
    first = _read(paths[0])
    own = (first.shape[1], first.shape[0])
    shown = size or (own[0] - own[0] % 2, own[1] - own[1] % 2)
    if size is None and shown != own:
        log.warning("pictures of %dx%d: a video has even sides, the last row or column is cut off", *own)
    output = VideoFile(video, size=shown, fps=fps, audio_from=sound, offline=True)
    with closing(output), _nothing_half(output):
        for done, path in enumerate(paths, start=1):
            pixels = _read(path)
            found = (pixels.shape[1], pixels.shape[0])
            if size is None and found != own:
                raise CameraError(
                    f"{path} is {found[0]}x{found[1]} pixels, those before it {own[0]}x{own[1]}: wanted one "
                    f"size, or --size {shown[0]}x{shown[1]} to fit them all"
                )
            fitted = fit(pixels, size)[0] if size else np.ascontiguousarray(pixels[: shown[1], : shown[0]])
            output.write(output.convert(fitted), None if sound is None else (done - 1) / fps)
            progress(done, len(paths))
    return Written(len(paths), shown, fps, sound is not None)


def pictures_of(folder: Path) -> list[Path]:
    """The pictures in a folder by name, 2 before 10. Raises CameraError: there are none."""
    try:
        found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise CameraError(
            f"{folder} cannot be read ({error.strerror}): wanted a folder of pictures"
        ) from error
    pictures = [path for path in found if path.suffix.lower() in PICTURES]
    if not pictures or len(pictures) > MOST:
        raise CameraError(
            f"{folder} holds {len(pictures)} pictures: wanted 1 to {MOST:,} of {', '.join(PICTURES)}"
        )
    if len(pictures) < len(found):
        log.info("left out: %d files of %s that are no pictures", len(found) - len(pictures), folder)
    return sorted(pictures, key=lambda path: natural(path.name))


def natural(name: str) -> tuple[tuple[int, int, str], ...]:
    """A key that sorts names as people do: numbers by their value."""
    parts = re.split(r"(\d+)", name.casefold())
    return (*((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts), (0, 0, name))


def _chosen(frames: Iterable[Frame], every: int, fps: float) -> Iterator[Frame]:
    """Of so many frames one, and at most so many a second."""
    due = -math.inf
    for frame in frames:
        if frame.sequence % every or frame.captured_at < due - EARLY:
            continue
        if fps:
            due = (frame.captured_at if math.isinf(due) else due) + 1 / fps
        yield frame


def _make_room(folder: Path, force: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        found = list(folder.iterdir())
        if found and not force:
            raise OutputError(
                f"{folder} holds {len(found)} files: wanted an empty folder; name another, or write into it "
                "with --force"
            )
        for path in found:
            if NAME.fullmatch(path.name):
                path.unlink()
    except OSError as error:
        raise OutputError(f"{folder} cannot be written ({error.strerror}): name another folder") from error


def _write(path: Path, pixels: Pixels, kind: Kind, before: int) -> None:
    """Write a picture whole or not at all. Raises OutputError."""
    done, data = cv2.imencode(f".{kind}", pixels, ENCODED[kind])
    assert done  # both take every picture of a video
    part = path.with_name(f".{path.name}.part")
    try:
        if shutil.disk_usage(path.parent).free < ROOM + len(data):
            raise OSError(errno.ENOSPC, f"less than {ROOM // 1_000_000} MB would stay free")
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise OutputError(
            f"{path.parent} takes no more pictures ({error.strerror}): {before} are there; free some space, "
            "or take fewer with --every or --format jpg"
        ) from error


def _read(path: Path) -> Pixels:
    """A picture, bounded before it is decoded. Raises CameraError."""
    try:
        return load_picture(path)
    except TargetError as error:
        raise CameraError(str(error).removeprefix("target ")) from error


@contextmanager
def _nothing_half(output: VideoFile) -> Iterator[None]:
    """Where a picture cannot be used, no video is left, and an older one stays."""
    try:
        yield
    except CameraError:
        output.discard()
        raise


def _has_sound(path: Path) -> bool:
    """Whether a file has sound. Raises CameraError."""
    try:
        with av.open(str(path), options={"protocol_whitelist": "file"}) as container:
            return bool(container.streams.audio)
    except (FFmpegError, OSError) as error:
        raise CameraError(f"the sound of {path} cannot be read ({error.strerror}); check its name") from error
