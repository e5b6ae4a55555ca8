"""A recording: H.264 in mp4, mov or mkv, made so that whatever ends it, what was written plays.

It grows as `clip.mp4.part` beside the file that was asked for and takes its name when it is closed, so that
an older recording stays until there is a new one. A `.part` that is left plays, too, and is never written
over: mp4 and mov are written as `hybrid_fragmented` (FFmpeg >= 7.1), fragments of half a second while it
runs, an ordinary file once closed. A kill or a full disk costs the last fragment.
"""

import os
import shutil
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from fractions import Fraction
from math import ceil
from pathlib import Path

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer, I420Converter
from xpcam.virtual_camera.sound import Sound, open_sound

_FORMATS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska"}
SUFFIXES = tuple(_FORMATS)

_FLUSH = {"flush_packets": "1"}  # whole fragments (mkv: blocks) reach the disk, never a part of one
_FRAGMENTS = {"movflags": "hybrid_fragmented", "frag_duration": "500000"}  # microseconds
_LIVE = {"preset": "ultrafast", "crf": "20"}  # 4 to 6 ms of one core for a frame of 1280x720
_OFFLINE = {"preset": "veryfast", "crf": "18"}  # three times that, for half of the bytes
_KEYFRAME_SECONDS = 2
_FINE = 90_000  # ticks a second at least, for pictures that keep the times of a driver of uneven rate
_QUEUE = 4  # frames that may wait for the encoder; then `write` blocks, for a recording drops nothing

# ITU-T H.273 code points: sRGB pictures, coded with the matrix of BT.601, luma 16 to 235.
_PRIMARIES_709, _TRANSFER_709, _MATRIX_601, _RANGE_LIMITED = 1, 1, 6, 1

ROOM = 64_000_000  # bytes that must be free before a recording begins anew

_Slot = tuple[av.VideoFrame, list[Buffer]]


class VideoFile:
    """Writes one video file; `description` is one line for people.

    Encoding runs in a thread of its own. An error there is raised by the next `write` or by `close`.
    """

    watched = False
    fault = ""

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: float,
        audio_from: Path | None = None,
        offline: bool = False,
    ) -> None:
        """Begin a file; closing it replaces an older one. `size` is (width, height) in pixels.

        `audio_from` is a video whose sound goes along; it marks an offline rendering, which keeps the
        times of its frames and is encoded slower and smaller, as with `offline` alone. Raises OutputError.
        """
        self._converter = I420Converter(size)
        _check(path, audio_from)
        self._path = path.resolve()
        self._fps = Fraction(fps).limit_denominator(1001)
        self._step = self._fps.denominator * ceil(_FINE / self._fps.numerator) if audio_from else 1
        self._tick = 1 / (self._fps * self._step)  # seconds; so many `_step` are a frame of a constant rate
        self._last = -self._step  # the time stamp of the last frame, in ticks
        self._sound: Sound | None = None
        try:
            self._part = _reserve(self._path)
            with ExitStack() as undo:
                undo.callback(self._part.unlink)
                if audio_from and (sound := open_sound(audio_from)):
                    self._sound = sound
                    undo.callback(sound.close)
                self._begin(size, _OFFLINE if audio_from or offline else _LIVE)
                undo.pop_all()
        except (FFmpegError, OSError, ValueError) as error:  # ValueError: PyAV, of what a format cannot hold
            raise OutputError(
                f"{path} cannot be made ({_reason(error)}), a video file was wanted: choose another --output"
            ) from error
        self._frames = deque(_frame(size) for _ in range(_QUEUE))
        self._pending: deque[Future[None]] = deque()
        self._encoder = ThreadPoolExecutor(1, "encoder")
        self._open = True
        self.description = f"{path}, {size[0]}x{size[1]} H.264 at {fps:g} fps"

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to I420, in a buffer that is used again at the next call."""
        return self._converter.convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        """Add one frame; the buffer is free again when this returns. Raises OutputError.

        `at` is the time it is shown, in seconds from the start of the recording, kept rising, and rounded
        to the frame grid unless this is an offline rendering; None: the frame after the last one.
        """
        if not self._open:
            raise OutputError(f"{self._path} is closed, a frame came to be written: open the output again")
        if len(self._pending) == _QUEUE:
            self._settle(self._pending.popleft())
        frame, planes = self._frames[0]
        self._frames.rotate(-1)
        for plane, part in zip(planes, _parts(buffer), strict=True):
            plane[:] = part
        if at is None:
            self._last += self._step
        else:
            self._last = max(self._last + 1, 0, round(at / self._tick))
        self._pending.append(self._encoder.submit(self._encode, frame, self._last))

    def readers(self) -> int:
        return 1  # a recording misses nothing

    def close(self) -> None:
        """Finish the file and give it its name, an older one is replaced now; without a frame there is none.

        A second call does nothing. Raises OutputError where the end was not written.
        """
        if not self._open:
            return
        self._open = False
        self._pending.append(self._encoder.submit(self._finish))
        self._encoder.shutdown()
        while self._pending:
            self._settle(self._pending.popleft())
        if self._last >= 0:
            self._publish()

    def discard(self) -> None:
        """End without a file: what was written is removed, and an older one stays."""
        self._abandon()
        self._part.unlink(missing_ok=True)

    def _begin(self, size: tuple[int, int], options: dict[str, str]) -> None:
        """Set up the container; FFmpeg opens the file with the first frame. Raises FFmpegError, OSError."""
        kind = _FORMATS[self._path.suffix.lower()]
        flags = _FLUSH if kind == "matroska" else _FLUSH | _FRAGMENTS
        self._container = av.open(str(self._part), "w", format=kind, container_options=flags)
        self._stream = self._add_stream(size, options)
        if self._sound:
            self._sound.join(self._container)

    def _add_stream(self, size: tuple[int, int], options: dict[str, str]) -> VideoStream:
        stream = self._container.add_stream("libx264", rate=self._fps, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.thread_count = 1  # the pipeline needs the other cores
        context.time_base = self._tick
        context.max_b_frames = 0  # they would begin the picture some frames after the sound
        context.gop_size = max(1, round(_KEYFRAME_SECONDS * self._fps))
        context.color_primaries = _PRIMARIES_709
        context.color_trc = _TRANSFER_709
        context.colorspace = _MATRIX_601
        context.color_range = _RANGE_LIMITED
        return stream

    def _encode(self, frame: av.VideoFrame, stamp: int) -> None:
        """(encoder thread) Encode one frame, and the sound up to it."""
        frame.pts = stamp
        frame.duration = self._step
        frame.time_base = self._tick
        self._container.mux(self._stream.encode(frame))
        if self._sound:
            self._sound.mux_until(float(stamp * self._tick))

    def _finish(self) -> None:
        """(encoder thread) Write what the encoder still holds, the rest of the sound, and the index.

        After a failed write FFmpeg writes nothing more to this file, so the fragments in it stay.
        Without a frame there is no file: FFmpeg 8.0 crashes where it should end an empty one.
        """
        try:
            if self._last >= 0:
                self._container.mux(self._stream.encode(None))
                if self._sound:
                    self._sound.mux_until(float((self._last + self._step) * self._tick))
        finally:
            self._container.close()
            if self._sound:
                self._sound.close()
            if not self._part.stat().st_size:
                self._part.unlink()

    def _settle(self, work: Future[None]) -> None:
        """Wait for one piece of the encoder's work; a failure ends the recording. Raises OutputError."""
        try:
            work.result()
        except (FFmpegError, OSError) as error:
            self._abandon()
            kept = f"what was written until now plays in {self._part}; " if self._part.exists() else ""
            raise OutputError(
                f"{self._path} takes no more frames ({_reason(error)}), room for the video was wanted: "
                f"{kept}free some space or choose another --output"
            ) from error

    def _publish(self) -> None:
        """Put the finished file in place of an older one. Raises OutputError."""
        try:
            self._part.replace(self._path)
        except OSError as error:
            raise OutputError(
                f"{self._path} cannot be replaced ({_reason(error)}), the new recording was to take its "
                f"name: it is complete in {self._part}; rename that"
            ) from error

    def _abandon(self) -> None:
        """Close after a failure; what fails on the way was caused by the first one, which is reported."""
        if self._open:
            self._open = False
            self._pending.append(self._encoder.submit(self._finish))
        self._encoder.shutdown()
        for work in self._pending:
            if not isinstance(error := work.exception(), FFmpegError | OSError | None):
                raise error
        self._pending.clear()


def with_room(path: Path) -> Path:
    """The path, where a recording can go on for a while; raises OutputError where the disk is full."""
    try:
        free = shutil.disk_usage(path.parent).free
    except OSError as error:
        raise OutputError(f"{path} cannot be made ({_reason(error)}): give its folder back") from error
    if free < ROOM:
        raise OutputError(
            f"{path} takes no more frames: found {free / 1e6:.0f} MB free, wanted {ROOM / 1e6:.0f}; free some"
        )
    return path


def _check(path: Path, audio_from: Path | None) -> None:
    """Refuse what can be known before the file is touched; raises OutputError."""
    if path.is_dir():
        raise OutputError(f"{path} is a folder, a file was wanted: use --output {path / 'clip.mp4'}")
    if not path.parent.is_dir():
        raise OutputError(
            f"{path} cannot be made: there is no folder {path.parent}; make it, or choose another --output"
        )
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise OutputError(
            f"{path} is there and may not be written over, a video file was wanted: choose another --output"
        )
    if path.exists() and audio_from and path.samefile(audio_from):
        raise OutputError(f"{path} is the driver video itself: choose another --output")


def _reserve(path: Path) -> Path:
    """Make the empty file that becomes `path`: clip.mp4.part, with a number where one was left by a crash."""
    number = 1
    while True:
        part = path.with_name(f"{path.name}.part{number if number > 1 else ''}")
        try:
            part.touch(exist_ok=False)
        except FileExistsError:
            number += 1
        else:
            return part


def _frame(size: tuple[int, int]) -> _Slot:
    """An I420 frame of FFmpeg, and its planes as arrays of (height, width)."""
    frame = av.VideoFrame(*size, "yuv420p")
    planes = [
        np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)[:, : plane.width]
        for plane in frame.planes
    ]
    return frame, planes


def _parts(buffer: Buffer) -> list[Buffer]:
    """The three planes within an I420 buffer, without a copy."""
    height, width = buffer.shape[0] * 2 // 3, buffer.shape[1]
    luma, chroma = buffer[:height], buffer[height:].reshape(2, height // 2, width // 2)
    return [luma, chroma[0], chroma[1]]


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
