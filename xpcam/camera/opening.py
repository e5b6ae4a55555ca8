"""Camera to Frame: webcams, video files, network streams and the built-in demo driver."""

import logging
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from xpcam import resources
from xpcam.camera import webcam
from xpcam.camera.capture import Camera, Capture, Grabbed, Source
from xpcam.camera.spec import DEMO, path_of
from xpcam.camera.video import Decoder, open_file, open_stream
from xpcam.camera.video_file import VideoFile, read_video
from xpcam.devices import Device, Holder, holders, list_devices
from xpcam.errors import CameraError

__all__ = ["Camera", "Machine", "VideoFile", "open_camera", "read_video"]

log = logging.getLogger(__name__)


class _WebcamSource:
    def __init__(self, camera: webcam.Webcam) -> None:
        self._camera = camera
        self.description = camera.description

    def read(self) -> Grabbed:
        pixels, decode_seconds, captured_at = self._camera.read()
        return Grabbed(pixels, decode_seconds, captured_at=captured_at)

    def close(self) -> None:
        self._camera.close()


class _VideoSource:
    """A file, or a stream that is played by its own clock."""

    def __init__(self, decoder: Decoder, loop: bool, paced: bool = True) -> None:
        self._decoder = decoder
        self._loop = loop
        self._paced = paced
        self.finite = decoder.duration is not None
        self._start: float | None = None  # time of the first picture on the video's clock
        self._offset = 0.0  # length of the rounds already played
        self._last = 0.0
        self.description = f"{decoder.name}: {decoder.size[0]}x{decoder.size[1]} {decoder.codec}"
        self.description += f" at {decoder.fps:.4g} fps{', looped' if loop else ''}"

    def read(self) -> Grabbed | None:
        picture = self._decoder.read()
        if picture is None and self._loop:
            self._decoder.rewind()
            self._offset = self._last + 1 / self._decoder.fps
            self._start = None
            picture = self._decoder.read()
        if picture is None:
            return None
        if self._start is None:
            self._start = picture.time
        self._last = max(self._last, self._offset + picture.time - self._start)
        if self._paced:
            return Grabbed(picture.pixels, picture.decode_seconds, due=self._last)
        return Grabbed(picture.pixels, picture.decode_seconds, captured_at=picture.arrived)

    def close(self) -> None:
        self._decoder.close()


@dataclass(frozen=True, slots=True)
class Machine:
    """What opening a webcam asks of the machine: the second edge that tests fake."""

    devices: Callable[[], list[Device]] = list_devices
    holders: Callable[[Path], list[Holder]] = holders
    backend: webcam.MakeBackend = webcam.video_capture
    platform: str = sys.platform

    def find(self, spec: str) -> Device | None:
        """The camera that a spec means, None where it means a file. Raises CameraError."""
        if self.platform != "linux":
            return webcam.by_index(spec)
        return webcam.find_device(spec, self.devices())

    def find_again(self, spec: str, lost: Device, twins: frozenset[str]) -> Device | None:
        """The same camera after it was lost; None or CameraError while it is not there."""
        if self.platform != "linux":
            return lost
        if spec.startswith("/dev/v4l/"):  # the system's own stable name, by serial number or by place
            return webcam.find_device(spec, self.devices())
        return webcam.find_again(lost, self.devices(), twins)

    def twins_of(self, found: Device) -> frozenset[str]:
        """Where others of its label are plugged in."""
        return webcam.twins_of(found, self.devices()) if self.platform == "linux" else frozenset()

    def known(self) -> str:
        """Which cameras there are, for the end of a message."""
        if self.platform != "linux":
            return "a camera goes by its index here: 0, 1, ..."
        return webcam.known(self.devices())


class Known:
    """The webcam that `--camera` meant when it was first found: an index may mean another one later."""

    def __init__(self, spec: str, machine: Machine) -> None:
        self._spec = spec
        self._machine = machine
        self._first: Device | None = None
        self._twins: frozenset[str] = frozenset()

    @property
    def identity(self) -> tuple[str, str] | None:
        """A webcam's label and where it is plugged in; None for files, streams, and one not found yet."""
        return None if self._first is None else (self._first.label, self._first.bus)

    def find(self) -> Device | None:
        """It, wherever it is now; None where the spec means a file. Raises CameraError."""
        if self._first is None:
            self._first = self._machine.find(self._spec)
            if self._first is not None:
                self._twins = self._machine.twins_of(self._first)
            return self._first
        again = self._machine.find_again(self._spec, self._first, self._twins)
        if again is None:
            raise CameraError(f"{self._first.label} is not there; plug it in again")
        return again


def open_camera(
    spec: str,
    *,
    size: tuple[int, int] = (1280, 720),
    fps: int = 30,
    loop: bool = True,
    machine: Machine | None = None,
    known: Known | None = None,
) -> Camera:
    """Open what `--camera` names and begin to read it.

    Args:
        spec: an index, /dev/videoN, a device's label, a video file, a stream URL, or "demo".
        size: (width, height) asked of a webcam; files and streams larger than it are scaled down to fit.
        fps: frames per second asked of a webcam; files play at their own rate.
        loop: whether a file begins again at its end, also one behind a URL.
        known: which webcam that was when it was opened before.

    Raises CameraError: one line on what was found, what was wanted, what to do.
    """
    machine = machine or Machine()
    capture = _capture(spec, size, fps, loop, machine, known)
    capture.start()
    log.info("camera: %s", capture.description)
    return capture


def check_camera(spec: str, machine: Machine | None = None, *, wait: bool = False) -> Known:
    """Whether `--camera` names a camera or a file, and which, without opening it.

    Raises CameraError where it does not; with `wait` that is logged, and it may be there later.
    """
    machine = machine or Machine()
    known = Known(spec, machine)
    try:
        _check(spec, known, machine)
    except CameraError as error:
        if not wait:
            raise
        log.warning("%s; waiting for it", error)
    return known


def _check(spec: str, known: Known, machine: Machine) -> None:
    path = path_of(spec)
    if spec == DEMO or ("://" in spec and not spec.startswith("file://")):
        return
    device = known.find()
    if device is not None:
        webcam.check(device)
    elif not path.exists():
        raise CameraError(f"no camera or video file is called '{spec}'; {machine.known()}")


def _capture(
    spec: str,
    size: tuple[int, int],
    fps: int,
    loop: bool,
    machine: Machine,
    known: Known | None = None,
) -> Capture:
    if spec == DEMO:
        decoder = open_file(resources.shipped("demo.mp4"), size)
        decoder.name = DEMO
        return Capture(_VideoSource(decoder, loop), shareable=True)
    path = path_of(spec)
    if spec.startswith("file://"):
        spec = str(path)
    if "://" in spec:
        stream = _stream(spec, size)
        return Capture(stream, None if stream.finite and not loop else lambda: _stream(spec, size))
    known = known or Known(spec, machine)
    device = known.find()
    if device is not None:
        return _webcam_capture(device, known, size, fps, machine)
    if not path.exists() and not path.suffix and len(path.parts) == 1:
        raise CameraError(f"no camera or video file is called '{spec}'; {machine.known()}")
    return Capture(_VideoSource(open_file(path, size), loop), shareable=True)


def _webcam_capture(
    device: Device, known: Known, size: tuple[int, int], fps: int, machine: Machine
) -> Capture:
    def reopen() -> Source:
        again = known.find() or device
        return _WebcamSource(webcam.open_webcam(again, size, fps, machine.holders, machine.backend))

    first = webcam.open_webcam(device, size, fps, machine.holders, machine.backend)
    return Capture(_WebcamSource(first), reopen)


def _stream(url: str, size: tuple[int, int]) -> _VideoSource:
    decoder = open_stream(url, size)
    # What arrives live sets its own pace; a file or playlist behind a URL arrives faster than it plays.
    paced = decoder.duration is not None or decoder.format.startswith("hls")
    return _VideoSource(decoder, loop=False, paced=paced)
