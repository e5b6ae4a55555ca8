"""A webcam: found in the device list, opened and negotiated through OpenCV."""

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2

from xpcam.devices import OUR_LABEL, Device, Holder
from xpcam.errors import CameraError
from xpcam.frame import Pixels

BAD_PICTURES = 10  # damaged pictures in a row that are still taken for line noise


class Backend(Protocol):
    """What is used of `cv2.VideoCapture`, under its names."""

    def isOpened(self) -> bool: ...  # noqa: N802
    def set(self, propId: int, value: float, /) -> bool: ...  # noqa: N803
    def get(self, propId: int, /) -> float: ...  # noqa: N803
    def grab(self) -> bool: ...
    def retrieve(self) -> tuple[bool, Any]: ...
    def release(self) -> None: ...


MakeBackend = Callable[[str], Backend]


def video_capture(path: str) -> Backend:
    """OpenCV's capture of a device path (Linux) or of an index (elsewhere)."""
    # Its warnings tell on several lines what our own message tells in one.
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    if path.isdecimal():
        return cv2.VideoCapture(int(path))
    return cv2.VideoCapture(path, cv2.CAP_V4L2)


class Webcam:
    """An open webcam. `read` waits for the next picture and raises CameraError when the device is lost.

    Attributes:
        description: what was negotiated.
    """

    def __init__(self, device: Device, size: tuple[int, int], fps: int, make: MakeBackend) -> None:
        self._device = device
        self._backend = make(str(device.path))
        self._negotiate(size, fps)
        if not self._backend.isOpened() or not self._backend.grab():
            self._backend.release()
            raise CameraError(f"{_name(device)} opens but gives no picture; plug it in again, or try another")
        _, pixels = self._backend.retrieve()
        height, width = size[::-1] if pixels is None else pixels.shape[:2]
        rate = self._backend.get(cv2.CAP_PROP_FPS)
        name = f"{device.label} ({device.path})" if _has_path(device) else device.label
        self.description = f"{name}: {width}x{height} {self._format()} at {rate:g} fps"

    def read(self) -> tuple[Pixels, float, float]:
        """(height, width, 3) BGR uint8, the seconds that decoding took, when it came (monotonic seconds)."""
        for _ in range(BAD_PICTURES):
            if not self._backend.grab():
                break
            captured_at, start = time.monotonic(), time.perf_counter()
            good, pixels = self._backend.retrieve()
            if good and pixels is not None and pixels.ndim == 3 and pixels.shape[2] == 3:
                return pixels, time.perf_counter() - start, captured_at
        gone = " (unplugged)" if _has_path(self._device) and not self._device.path.exists() else ""
        raise CameraError(f"{_name(self._device)} gives no more pictures{gone}")

    def close(self) -> None:
        """Free the device."""
        self._backend.release()

    def _negotiate(self, size: tuple[int, int], fps: int) -> None:
        width, height = size
        if width * height >= 1280 * 720 and "MJPG" in self._device.formats:
            # Uncompressed 720p fills USB 2: most webcams then give 10 frames per second.
            self._backend.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG"))
        self._backend.set(cv2.CAP_PROP_FRAME_WIDTH, width)
        self._backend.set(cv2.CAP_PROP_FRAME_HEIGHT, height)
        self._backend.set(cv2.CAP_PROP_FPS, fps)
        self._backend.set(cv2.CAP_PROP_BUFFERSIZE, 2)

    def _format(self) -> str:
        code = int(self._backend.get(cv2.CAP_PROP_FOURCC))
        return code.to_bytes(4, "little", signed=code < 0).decode("ascii", "replace").strip("\0 ") or "raw"


def open_webcam(
    device: Device,
    size: tuple[int, int],
    fps: int,
    holders: Callable[[Path], list[Holder]],
    make: MakeBackend = video_capture,
) -> Webcam:
    """Open a device that was found in the list. Raises CameraError saying why it cannot be used."""
    check(device)
    try:
        return Webcam(device, size, fps, make)
    except CameraError:
        others = [f"{holder.name} (process {holder.pid})" for holder in holders(device.path)
                  if holder.pid != os.getpid()]  # fmt: skip
        if others:
            raise CameraError(
                f"{_name(device)} is busy: {', '.join(others)} holds it; close that, or choose another camera"
            ) from None
        raise


def find_device(spec: str, devices: Sequence[Device]) -> Device | None:
    """The device that an index, a path or a label means; of equal labels, the first that captures.

    None where the spec has another meaning (a file). Raises CameraError for an index or
    /dev path that names no device.
    """
    if spec.isdecimal():
        spec = f"/dev/video{int(spec)}"
    if spec.startswith("/dev/"):
        real = Path(os.path.realpath(spec))  # /dev/v4l/by-id/... are links
        found = [device for device in devices if device.path in (Path(spec), real)]
        if not found:
            raise CameraError(f"no camera {spec}; {known(devices)}")
    else:
        found = [device for device in devices if device.label == spec]
        found = found or [device for device in devices if device.label.casefold() == spec.casefold()]
    return next((device for device in found if device.capture), found[0] if found else None)


def by_index(spec: str) -> Device | None:
    """The camera of an index where the system lists none (Windows, macOS): opening tells if it is there."""
    if not spec.isdecimal():
        return None
    index = str(int(spec))
    return Device(Path(index), f"camera {index}", "", "", True, False, (), False)


def twins_of(found: Device, devices: Sequence[Device]) -> frozenset[str]:
    """Where other cameras of the same label are plugged in, which are not the one that was found."""
    same = (device.bus for device in devices if device.capture and device.label == found.label)
    return frozenset(same) - {found.bus}


def find_again(lost: Device, devices: Sequence[Device], twins: frozenset[str] = frozenset()) -> Device | None:
    """The same camera after it was plugged in again, perhaps under another number or in another place.

    `twins` are the places of others of its label: those are never taken for it.
    """
    same = [device for device in devices if device.capture and device.label == lost.label]
    return next(
        (device for device in same if device.bus == lost.bus),
        next((device for device in same if device.bus not in twins), None),
    )


def known(devices: Sequence[Device]) -> str:
    """Which cameras there are, for the end of a message."""
    usable = [_name(device) for device in devices if device.capture and device.label != OUR_LABEL]
    if usable:
        return f"this machine has {', '.join(usable)}"
    return "this machine has none: plug one in, or use --camera demo or a video file"


def check(device: Device) -> None:
    """Whether a device that was found can be a camera at all, without opening it; raises CameraError."""
    if device.label == OUR_LABEL:
        raise CameraError(
            f"{_name(device)} is where our own pictures come out; choose the real camera (`xpcam devices`)"
        )
    if device.problem == os.strerror(13):
        raise CameraError(
            f"{_name(device)} may not be opened by this user; join the group that may: "
            "sudo usermod -aG video $USER, then log in again"
        )
    if device.problem:
        raise CameraError(f"{_name(device)} cannot be opened: {device.problem}; plug it in again")
    if device.loopback and not device.capture:
        raise CameraError(
            f"{_name(device)} is a loopback device that nothing writes to; start its source first"
        )
    if not device.capture:
        raise CameraError(f"{_name(device)} takes no pictures; choose another node (`xpcam devices`)")


def _name(device: Device) -> str:
    return f"{device.path} ({device.label})" if _has_path(device) else device.label


def _has_path(device: Device) -> bool:
    """False for a camera that is known by its index only."""
    return not str(device.path).isdecimal()
