"""What the V4L2 writer asks of the kernel.

Structures and numbers: Linux userspace API, `linux/videodev2.h`.
"""

import errno
import fcntl
import os
import select
import struct
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

from xpcam.devices import Device, Holder, holders, list_devices

BUFFER_TYPE_OUTPUT = 2
FOURCC_I420 = int.from_bytes(b"YU12", "little")

_FORMAT = struct.Struct("@I0P12I152x")  # struct v4l2_format: its union is aligned like a pointer
_PARAMETERS = struct.Struct("=7I16x160x")  # struct v4l2_streamparm
_FIELD_NONE = 1
_COLORSPACE_SRGB, _ENCODING_601, _RANGE_LIMITED, _TRANSFER_SRGB = 8, 1, 2, 2
_PRIVATE_MAGIC = 0xFEEDCAFE  # makes the kernel look at the colour fields behind it


_SUBSCRIPTION = struct.Struct("=3I20x")  # struct v4l2_event_subscription
_EVENT = struct.Struct("@I4xI60xIIllI32x0q")  # struct v4l2_event: its union is aligned to 8 bytes
_CLIENT_USAGE = 0x08000000 + 0x08E00000 + 1  # V4L2_EVENT_PRI_CLIENT_USAGE, from v4l2loopback 0.13
_SEND_INITIAL = 1
CONTROL = Path("/dev/v4l2loopback")
"""Where v4l2loopback makes devices, from 0.13 on."""
_CONTROL_ADD = 0x4C80  # V4L2LOOPBACK_CTL_ADD under its old number, which every version that has it takes
_CONFIG = struct.Struct("=2i32s4I4i")  # struct v4l2_loopback_config
_MODULE = Path("/sys/module/v4l2loopback")


def _request(direction: int, number: int, size: int) -> int:
    """_IOW (direction 1), _IOR (2) or _IOWR (3) of the letter V, as in `asm-generic/ioctl.h`."""
    return direction << 30 | size << 16 | ord("V") << 8 | number


G_FMT = _request(3, 4, _FORMAT.size)
S_FMT = _request(3, 5, _FORMAT.size)
STREAMON = _request(1, 18, 4)
S_PARM = _request(3, 22, _PARAMETERS.size)
DQEVENT = _request(2, 89, _EVENT.size)
SUBSCRIBE_EVENT = _request(1, 90, _SUBSCRIPTION.size)
UNSUBSCRIBE_EVENT = _request(1, 91, _SUBSCRIPTION.size)


@dataclass(frozen=True, slots=True)
class Format:
    """The picture format of a device; `sizeimage` is the bytes of one frame."""

    width: int
    height: int
    fourcc: int
    sizeimage: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height} {self.fourcc.to_bytes(4, 'little').decode('ascii', 'replace')}"


def i420(width: int, height: int) -> Format:
    """The format of an I420 picture without padding."""
    return Format(width, height, FOURCC_I420, width * height * 3 // 2)


def pack_format(wanted: Format) -> bytearray:
    """struct v4l2_format for an output, its colours declared: sRGB pictures, BT.601, luma 16 to 235."""
    return bytearray(
        _FORMAT.pack(
            BUFFER_TYPE_OUTPUT,
            wanted.width,
            wanted.height,
            wanted.fourcc,
            _FIELD_NONE,
            wanted.width,  # bytes of a line of luma
            wanted.sizeimage,
            _COLORSPACE_SRGB,
            _PRIVATE_MAGIC,
            0,
            _ENCODING_601,
            _RANGE_LIMITED,
            _TRANSFER_SRGB,
        )
    )


def unpack_format(buffer: bytes | bytearray) -> Format:
    """What a struct v4l2_format says."""
    fields = _FORMAT.unpack(buffer)
    return Format(fields[1], fields[2], fields[3], fields[6])


def pack_rate(fps: float) -> bytearray:
    """struct v4l2_streamparm for an output of `fps` frames a second."""
    rate = Fraction(fps).limit_denominator(1001)
    return bytearray(_PARAMETERS.pack(BUFFER_TYPE_OUTPUT, 0, 0, rate.denominator, rate.numerator, 0, 0))


def pack_subscription() -> bytearray:
    """struct v4l2_event_subscription: tell who reads, and how it stands now."""
    return bytearray(_SUBSCRIPTION.pack(_CLIENT_USAGE, 0, _SEND_INITIAL))


def unpack_usage(buffer: bytes | bytearray) -> tuple[int, int]:
    """(readers, further events that wait) of a struct v4l2_event; readers are 0 or 1."""
    _, count, pending, *_ = _EVENT.unpack(buffer)
    return count, pending


class Kernel(Protocol):
    """The calls of the writer, each raising OSError as the kernel refuses; tests put a fake here."""

    def devices(self) -> list[Device]: ...
    def others(self, path: Path) -> list[Holder]: ...
    def opened(self) -> int | None: ...
    def loopbacks(self) -> int: ...
    def add(self, label: str) -> Path: ...
    def open(self, path: Path) -> int: ...
    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None: ...
    def write(self, descriptor: int, frame: memoryview) -> int: ...
    def readers(self, descriptor: int) -> int: ...
    def close(self, descriptor: int) -> None: ...


class Linux:
    """The kernel that runs."""

    def devices(self) -> list[Device]:
        return list_devices()

    def others(self, path: Path) -> list[Holder]:
        """The other processes that have the device open."""
        return [holder for holder in holders(path) if holder.pid != os.getpid()]

    def opened(self) -> int | None:
        """How often v4l2loopback's devices are open, all together, by whatever user; None where not known."""
        try:
            return int((_MODULE / "refcnt").read_text(encoding="ascii"))
        except (OSError, ValueError):
            return None

    def loopbacks(self) -> int:
        """How many v4l2loopback devices there are."""
        return len(list(Path("/sys/class/video4linux").glob("video*/max_openers")))

    def add(self, label: str) -> Path:
        """Make a device of that label that says what it is to whom it is (exclusive_caps=1).

        Raises OSError: FileNotFoundError where the driver is not loaded or older than 0.13, PermissionError.
        """
        control = os.open(CONTROL, os.O_RDWR | os.O_CLOEXEC)
        try:
            config = bytearray(_CONFIG.pack(-1, -1, label.encode(), *[0] * 8))
            path = Path(f"/dev/video{fcntl.ioctl(control, _CONTROL_ADD, config, True)}")
        finally:
            os.close(control)
        deadline = time.monotonic() + 1
        while not os.access(path, os.R_OK | os.W_OK) and time.monotonic() < deadline:
            time.sleep(0.02)  # udev gives it to the group of video devices
        return path

    def open(self, path: Path) -> int:
        """Open for writing and lock, so that a second writer of ours sees that this one lives.

        The lock is the kernel's (flock): it ends with the process, however that ends.
        """
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            if error.errno == errno.EWOULDBLOCK:
                raise OSError(errno.EBUSY, os.strerror(errno.EBUSY)) from error
            raise
        return descriptor

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None:
        fcntl.ioctl(descriptor, request, buffer, True)

    def write(self, descriptor: int, frame: memoryview) -> int:
        return os.write(descriptor, frame)

    def readers(self, descriptor: int) -> int:
        """Whether somebody reads a v4l2loopback device (0 or 1).

        The driver tells changes only, and not all of them; a new subscription begins with how it stands.
        """
        self.ioctl(descriptor, UNSUBSCRIBE_EVENT, pack_subscription())
        self.ioctl(descriptor, SUBSCRIBE_EVENT, pack_subscription())
        count, pending = 0, 1
        while pending and self._event_waits(descriptor):
            event = bytearray(_EVENT.size)
            self.ioctl(descriptor, DQEVENT, event)
            count, pending = unpack_usage(event)
        return count

    def _event_waits(self, descriptor: int) -> bool:
        poll = select.poll()
        poll.register(descriptor, select.POLLPRI)
        return any(events & select.POLLPRI for _, events in poll.poll(0))

    def close(self, descriptor: int) -> None:
        os.close(descriptor)
