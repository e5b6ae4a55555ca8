"""Video files and network streams, decoded by libav (PyAV): checked once, then picture by picture."""

import os
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import av
import av.error
import cv2
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from xpcam.errors import CameraError
from xpcam.frame import Pixels

MAX_SIDE, MAX_PIXELS = 8192, 40_000_000
OPEN_TIMEOUT, READ_TIMEOUT = 10.0, 10.0  # seconds; a HLS stream may be silent for a whole segment
STREAM_SCHEMES = ("rtsp", "rtsps", "http", "https", "rtmp", "rtmps", "udp", "rtp", "tcp", "srt")
_CONVERT = "convert it with: ffmpeg -i IN -c:v libx264 -pix_fmt yuv420p OUT.mp4"
_NO_INDEX = "{} is cut off before its index; the recording or copy did not end well: copy it again"
_ROTATIONS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture.

    Attributes:
        pixels: (height, width, 3) uint8, BGR, upright.
        time: presentation time in seconds on the video's own clock.
        decode_seconds: what decoding and converting it cost.
        arrived: `time.monotonic()` seconds when its data was there, before decoding.
    """

    pixels: Pixels
    time: float
    decode_seconds: float
    arrived: float


class Decoder:
    """The first video stream of an open container. Raises CameraError as soon as it breaks off.

    Attributes:
        name: what it is called in messages (no password in it).
        size: (width, height) as stored, before rotation.
        fps: average frames per second, or 30 where the file does not say.
        duration: seconds, or None where unknown.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        fit: tuple[int, int] | None = None,
        again: Callable[[], InputContainer] | None = None,
    ) -> None:
        """Read what is open.

        Args:
            container: is closed with the decoder.
            name: what to call it in messages.
            fit: pictures larger than this (width, height), either way round, are scaled down to it.
            again: opens the container anew, to rewind it; None for a live stream.
        """
        self.name = name
        self._again = again
        self._begin(container)
        self._fit = fit
        self._reformatter = VideoReformatter()
        self.size = (self._stream.codec_context.width, self._stream.codec_context.height)
        check_size(self.size, name)
        self.fps = float(self._stream.average_rate or self._stream.guessed_rate or 30)
        self.duration = _duration(container, self._stream)
        self.frame_count = self._stream.frames or (
            None if self.duration is None else max(1, round(self.duration * self.fps))
        )
        self.format = container.format.name

    def _begin(self, container: InputContainer) -> None:
        self._container = container
        self._stream = _video_stream(container, self.name)
        # Frame threads hold back one picture each: as fast as a file can be read, but late when it is live.
        self._stream.thread_type = "SLICE" if self._again is None else "AUTO"
        self._arrived = 0.0
        self._spent = 0.0  # seconds of decoding since the last picture
        self._frames = self._decode()
        self._count = 0

    @property
    def codec(self) -> str:
        """Name of the decoder, such as "h264"."""
        return self._stream.codec_context.name

    def read(self) -> Picture | None:
        """The next picture, or None at the end."""
        try:
            frame = next(self._frames, None)
            if frame is None:
                return None
            moment = self._count / self.fps if frame.pts is None else frame.time
            start = time.perf_counter()
            pixels = self._convert(frame)
        except (av.error.FFmpegError, ValueError) as error:
            raise CameraError(
                f"{self.name} breaks off after {self._count} frames: {_plain(error)}"
            ) from error
        self._count += 1
        decode_seconds = self._spent + time.perf_counter() - start
        self._spent = 0.0
        return Picture(pixels, moment, decode_seconds, self._arrived)

    def rewind(self) -> None:
        """Begin again. Raises CameraError where the source cannot be opened a second time."""
        if self._again is None:
            raise CameraError(f"{self.name} is live and cannot be begun again")
        # Seeking to 0 of an MPEG program stream that starts there finds its second group of pictures.
        self._container.close()
        self._begin(self._again())

    def close(self) -> None:
        """Let go of the file or connection."""
        self._frames.close()  # it holds this decoder, whose threads would stay as long
        self._container.close()

    def _decode(self) -> Generator[VideoFrame, None, None]:
        for packet in self._container.demux(self._stream):
            self._arrived, start = time.monotonic(), time.perf_counter()
            try:
                frames = packet.decode()
            except av.error.InvalidDataError:
                continue  # a damaged picture: the next one may be whole
            finally:
                self._spent += time.perf_counter() - start
            for frame in frames:
                if isinstance(frame, VideoFrame):
                    yield frame

    def _convert(self, frame: VideoFrame) -> Pixels:
        check_size((frame.width, frame.height), self.name)  # a stream may change its size on the way
        width, height = fitted((frame.width, frame.height), self._fit)
        converted = self._reformatter.reformat(frame, width, height, "bgr24")
        pixels = np.asarray(converted.to_ndarray(), dtype=np.uint8)
        turn = _ROTATIONS.get(round(frame.rotation) % 360)
        return pixels if turn is None else np.asarray(cv2.rotate(pixels, turn), dtype=np.uint8)


def open_file(path: Path, fit: tuple[int, int] | None = None) -> Decoder:
    """Check a video file as far as opening and decoding its first picture tells; raise CameraError."""
    container = _container(path)
    try:
        decoder = Decoder(container, str(path), fit, lambda: _container(path))
        _check_whole(container, path)
        if decoder.read() is None:
            raise CameraError(f"{path} holds no picture that can be decoded; copy or record it again")
        decoder.rewind()
    except CameraError:
        container.close()
        raise
    return decoder


def open_stream(url: str, fit: tuple[int, int] | None = None) -> Decoder:
    """Connect to a network stream. Raises CameraError within about 10 s where that fails."""
    parts = urlsplit(url)
    name = redacted(url)
    if parts.scheme not in STREAM_SCHEMES:
        raise CameraError(f"{name}: no stream of kind '{parts.scheme}'; one of {', '.join(STREAM_SCHEMES)}")
    options = {"protocol_whitelist": ",".join((*STREAM_SCHEMES, "tls", "crypto", "httpproxy"))}
    if parts.scheme.startswith("rtsp"):
        options["rtsp_transport"] = "tcp"  # over UDP, one lost packet smears the face
    try:
        container = av.open(url, options=options, timeout=(OPEN_TIMEOUT, READ_TIMEOUT))
    except (av.error.FFmpegError, ValueError) as error:
        reason = _plain(error).replace(url, name)
        raise CameraError(f"{name} cannot be opened: {reason}; check that it plays elsewhere") from error
    try:
        return Decoder(container, name, fit)
    except CameraError:
        container.close()
        raise


def fitted(size: tuple[int, int], limit: tuple[int, int] | None) -> tuple[int, int]:
    """(width, height) scaled down, shape kept, so that long and short side fit those of `limit`."""
    if limit is None:
        return size
    scale = min(1.0, max(limit) / max(size), min(limit) / min(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def check_size(size: tuple[int, int], name: str) -> None:
    """Raise CameraError for a picture (width, height) of no size, or of one that would fill the memory."""
    width, height = size
    if width < 1 or height < 1:
        raise CameraError(f"{name} says no picture size; {_CONVERT}")
    if max(size) > MAX_SIDE or width * height > MAX_PIXELS:
        raise CameraError(
            f"{name} is {width}x{height}; at most {MAX_SIDE} a side and {MAX_PIXELS // 1_000_000} megapixels"
            " can be read: scale it down first"
        )


def redacted(url: str) -> str:
    """The URL without user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()


def _video_stream(container: InputContainer, name: str) -> VideoStream:
    kind = container.format.name
    if kind == "image2" or (kind.endswith("_pipe") and kind != "yuv4mpegpipe"):
        raise CameraError(f"{name} is a still picture; a camera wants a video (a portrait goes to --target)")
    if kind == "tty":
        raise CameraError(f"{name} is a text file; a video file was wanted")
    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic:
            return stream
    if kind.startswith("mov") and not container.streams.video and not container.streams.audio:
        raise CameraError(_NO_INDEX.format(name))
    what = "holds only sound" if container.streams.audio else "holds no video"
    raise CameraError(f"{name} {what}; a file or stream with moving pictures was wanted")


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise CameraError(f"{path} is a folder; give one video file in it")
    if not path.exists():
        raise CameraError(f"no video file {path}; check its name (`xpcam devices` lists the cameras)")
    if not path.is_file():
        raise CameraError(f"{path} is neither a video file nor a camera; `xpcam devices` lists the cameras")
    if not os.access(path, os.R_OK):
        raise CameraError(f"{path} may not be read by this user; allow it with: chmod u+r {path}")
    if path.stat().st_size == 0:
        raise CameraError(f"{path} is empty (0 bytes); copy or record it again")


def _check_whole(container: InputContainer, path: Path) -> None:
    """An mp4's index says where each picture lies: the last ones must lie inside the file."""
    entries = container.streams.video[0].index_entries
    if not container.format.name.startswith("mov") or len(entries) == 0:
        return
    size = path.stat().st_size
    end = max(entry.pos + entry.size for entry in entries[-min(len(entries), 64) :])
    if end > size:
        raise CameraError(f"{path} is cut off: {size} of at least {end} bytes are there; copy it again")


def _duration(container: InputContainer, stream: VideoStream) -> float | None:
    if stream.duration is not None and stream.time_base is not None:
        return float(stream.duration * stream.time_base)
    return None if container.duration is None else container.duration / av.time_base


def _container(path: Path) -> InputContainer:
    _check_file(path)
    try:
        return av.open(str(path), options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, ValueError) as error:
        raise CameraError(_unreadable(path, error)) from error


def _unreadable(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(12)
    if isinstance(error, av.error.InvalidDataError) and head[4:8] == b"ftyp":
        return _NO_INDEX.format(path)
    return f"{path} is no video that can be read ({_plain(error)}); {_CONVERT}"


def _plain(error: Exception) -> str:
    """What libav says, without the number and the file name."""
    text = error.strerror if isinstance(error, av.error.FFmpegError | OSError) else str(error)
    return (text or str(error)).splitlines()[0]
