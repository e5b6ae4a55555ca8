"""The video devices of this machine (Video4Linux), read from sysfs and asked by ioctl.

Structures and numbers: Linux userspace API, `linux/videodev2.h` (VIDIOC_QUERYCAP, VIDIOC_ENUM_FMT).
Other systems have no such listing: there `list_devices` finds nothing.
"""

import errno
import os
import re
import struct
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

OUR_LABEL = "Xpression Cam"
"""The label of the loopback device that applications select; never a camera of ours (feedback)."""

_QUERYCAP = 0x80685600  # _IOR('V', 0, struct v4l2_capability)
_ENUM_FMT = 0xC0405602  # _IOWR('V', 2, struct v4l2_fmtdesc)
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FORMAT = struct.Struct("=III32sII12x")
_CAPTURE, _OUTPUT, _CAPTURE_MPLANE, _OUTPUT_MPLANE = 0x1, 0x2, 0x1000, 0x2000
_MEMORY_TO_MEMORY = 0x8000 | 0x4000
_HAS_DEVICE_CAPS = 0x80000000
_BUFFER_TYPES = {_CAPTURE: 1, _OUTPUT: 2, _CAPTURE_MPLANE: 9, _OUTPUT_MPLANE: 10}

Ioctl = Callable[[int, int, bytearray], None]
"""(file descriptor, request, buffer filled in place); raises OSError as the kernel refuses."""


@dataclass(frozen=True, slots=True)
class Device:
    """One /dev/videoN.

    Attributes:
        path: its device file.
        label: the name that applications show.
        driver: kernel driver, such as "uvcvideo"; "" where it could not be asked.
        bus: where it is plugged in, such as "usb-0000:00:14.0-1"; stays when the number changes.
        capture: pictures can be read from it now (a v4l2loopback with exclusive_caps: once written to).
        output: pictures can be written to it.
        formats: the four-character pixel formats it offers, such as ("MJPG", "YUYV").
        loopback: it is a v4l2loopback device.
        problem: why it could not be asked ("" where it could), such as "Permission denied".
    """

    path: Path
    label: str
    driver: str
    bus: str
    capture: bool
    output: bool
    formats: tuple[str, ...]
    loopback: bool
    problem: str = ""

    @property
    def index(self) -> int:
        """The N of /dev/videoN."""
        return int(self.path.name.removeprefix("video"))

    def __str__(self) -> str:
        """One line for people: `/dev/video0  "HD Webcam" (uvcvideo, usb-1): camera, MJPG YUYV`."""
        uses = [use for use, can in (("camera", self.capture), ("virtual camera", self.output)) if can]
        facts = ", ".join(fact for fact in (self.driver, self.bus) if fact)
        what = self.problem or ", ".join([*(uses or ["neither camera nor output"]), " ".join(self.formats)])
        return f'{self.path}  "{self.label}"{f" ({facts})" if facts else ""}: {what}'.removesuffix(", ")


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that has a device open."""

    pid: int
    name: str


def list_devices(
    sysfs: Path = Path("/sys/class/video4linux"), dev: Path = Path("/dev"), ioctl: Ioctl | None = None
) -> list[Device]:
    """Every video device, in the order of its number; an empty list where there is none."""
    if not sysfs.is_dir():
        return []
    entries = [entry for entry in sysfs.iterdir() if re.fullmatch(r"video\d+", entry.name)]
    entries.sort(key=lambda entry: int(entry.name.removeprefix("video")))
    return [_describe(entry, dev / entry.name, ioctl or _kernel_ioctl) for entry in entries]


def holders(path: Path, proc: Path = Path("/proc")) -> list[Holder]:
    """Processes that have `path` open, as far as this user may see (other users' are hidden)."""
    found = [
        Holder(int(process.name), _read(process / "comm") or "?")
        for process in proc.glob("[0-9]*")
        if any(_points_to(link, path) for link in _open_files(process))
    ]
    return sorted(found, key=lambda holder: holder.pid)


def _describe(entry: Path, path: Path, ioctl: Ioctl) -> Device:
    label = _read(entry / "name") or path.name
    loopback = (entry / "max_openers").exists()  # an attribute that only v4l2loopback makes
    try:
        # Non-blocking, so that no driver waits here; a second open disturbs no one's stream.
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NONBLOCK", 0))
    except OSError as error:
        return Device(path, label, "", "", False, False, (), loopback, _reason(error))
    try:
        driver, bus, capabilities = _query_capability(descriptor, ioctl)
        formats = _enumerate_formats(descriptor, capabilities, ioctl)
    except OSError as error:
        return Device(path, label, "", "", False, False, (), loopback, _reason(error))
    finally:
        os.close(descriptor)
    codec = bool(capabilities & _MEMORY_TO_MEMORY)
    return Device(
        path,
        label,
        driver,
        bus,
        capture=bool(capabilities & (_CAPTURE | _CAPTURE_MPLANE)) and not codec,
        output=bool(capabilities & (_OUTPUT | _OUTPUT_MPLANE)) and not codec,
        formats=formats,
        loopback=loopback or driver == "v4l2 loopback",
    )


def _query_capability(descriptor: int, ioctl: Ioctl) -> tuple[str, str, int]:
    buffer = bytearray(_CAPABILITY.size)
    ioctl(descriptor, _QUERYCAP, buffer)
    driver, _, bus, _, capabilities, device_capabilities = _CAPABILITY.unpack(buffer)
    if capabilities & _HAS_DEVICE_CAPS:
        capabilities = device_capabilities
    return _text(driver), _text(bus), capabilities


def _enumerate_formats(descriptor: int, capabilities: int, ioctl: Ioctl) -> tuple[str, ...]:
    found: dict[str, None] = {}  # a set that keeps its order
    for flag, buffer_type in _BUFFER_TYPES.items():
        if not capabilities & flag:
            continue
        for index in range(64):
            buffer = bytearray(_FORMAT.pack(index, buffer_type, 0, b"", 0, 0))
            try:
                ioctl(descriptor, _ENUM_FMT, buffer)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTTY):
                    raise
                break  # EINVAL ends the list
            code: int = _FORMAT.unpack(buffer)[4]
            found[_four_characters(code)] = None
    return tuple(found)


def _four_characters(code: int) -> str:
    name = (code & 0x7FFFFFFF).to_bytes(4, "little").decode("ascii", "replace").rstrip("\0 ")
    return f"{name}-BE" if code >> 31 else name  # the top bit marks the big-endian variant


def _kernel_ioctl(descriptor: int, request: int, buffer: bytearray) -> None:
    if sys.platform == "win32":
        raise OSError(errno.ENOSYS, "no Video4Linux on this system")
    import fcntl  # not there on Windows

    fcntl.ioctl(descriptor, request, buffer, True)


def _points_to(link: Path, path: Path) -> bool:
    try:
        return link.readlink() == path
    except OSError:
        return False  # closed meanwhile


def _open_files(process: Path) -> list[Path]:
    try:
        return list((process / "fd").iterdir())
    except OSError:
        return []  # another user's process, or one that has ended


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "replace")
