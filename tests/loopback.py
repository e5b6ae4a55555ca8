"""A model of the v4l2loopback driver's versions, for tests without one."""

import errno
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from xpcam.devices import Device, Holder
from xpcam.virtual_camera import v4l2_ioctl as v4l2

LOOPBACK = Path("/dev/video10")
DEVICE = Device(LOOPBACK, "Xpression Cam", "v4l2 loopback", "platform", False, True, ("YU12",), loopback=True)
WEBCAM = Device(Path("/dev/video0"), "HD Webcam", "uvcvideo", "usb-1", True, False, ("MJPG",), loopback=False)
UNSET = v4l2.Format(0, 0, 0, 0)


@dataclass
class FakeDriver:
    """v4l2loopback with exclusive_caps=1, as far as its versions differ for one device."""

    version: str
    device_: Device = DEVICE
    format: v4l2.Format = UNSET
    holders: list[Holder] = field(default_factory=list)
    reader: bool = False  # holds the format that is set
    writer: int | None = None  # the descriptor that streams or wrote
    announced: bool = False  # 0.12.7: the writer did STREAMON
    stuck: bool = False
    locked: bool = False
    open_: set[int] = field(default_factory=set)
    frames: list[bytes] = field(default_factory=list)
    calls: list[int] = field(default_factory=list)
    rate: bytes = b""
    write_error: int = 0
    short: int = 0
    descriptors: int = 100
    tells_opened: bool = True
    other_devices: int = 0
    walks: int = 0  # through /proc
    may_add: int = errno.ENOENT  # why a device cannot be made; 0: it can

    def devices(self) -> list[Device]:
        busy = self.writer is not None or self.stuck
        return [WEBCAM, replace(self.device_, output=self.device_.output and not busy)]

    def others(self, path: Path) -> list[Holder]:
        assert path == LOOPBACK
        self.walks += 1
        return self.holders

    def opened(self) -> int | None:
        return len(self.open_) + len(self.holders) if self.tells_opened else None

    def loopbacks(self) -> int:
        return 1 + self.other_devices

    def add(self, label: str) -> Path:
        if self.may_add:
            raise OSError(self.may_add, os.strerror(self.may_add))
        self.device_ = replace(DEVICE, label=label)
        return LOOPBACK

    def open(self, path: Path) -> int:
        assert path == LOOPBACK
        if self.locked:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self.descriptors += 1
        self.open_.add(self.descriptors)
        return self.descriptors

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None:
        assert descriptor in self.open_
        self.calls.append(request)
        if request == v4l2.S_FMT:
            self.set_format(buffer)
        elif request == v4l2.G_FMT:
            buffer[:] = v4l2.pack_format(self.format)
        elif request == v4l2.S_PARM:
            self.rate = bytes(buffer)
        elif request == v4l2.STREAMON:
            if self.version != "0.12.7":
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            self.writer, self.announced = descriptor, True
        else:
            raise AssertionError(hex(request))

    def set_format(self, buffer: bytearray) -> None:
        wanted = v4l2.unpack_format(buffer)
        if self.reader and wanted != self.format and self.version != "0.15.0":
            code = errno.EINVAL if self.version == "0.12.7" else errno.EBUSY
            raise OSError(code, os.strerror(code))
        if not self.reader:
            self.format = wanted

    def write(self, descriptor: int, frame: memoryview) -> int:
        assert descriptor in self.open_
        if self.write_error:
            raise OSError(self.write_error, os.strerror(self.write_error))
        self.writer = descriptor
        self.frames.append(bytes(frame))
        return len(frame.tobytes()) - self.short

    def readers(self, descriptor: int) -> int:
        assert descriptor in self.open_
        if self.version == "0.12.7":  # SUBSCRIBE_EVENT of a kind it does not know
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        return int(self.reader)

    def close(self, descriptor: int) -> None:
        self.open_.remove(descriptor)
        if descriptor == self.writer:
            self.stuck = self.version == "0.12.7" and not self.announced
            self.writer, self.announced = None, False


SECOND = replace(DEVICE, path=Path("/dev/video2"), label="OBS Virtual Camera")


class TwoDevices(FakeDriver):
    """A second loopback device beside the one that the fake models; that one is free."""

    def devices(self) -> list[Device]:
        return [SECOND, *super().devices()]

    def others(self, path: Path) -> list[Holder]:
        return [] if path == SECOND.path else super().others(path)

    def open(self, path: Path) -> int:
        if path == SECOND.path:
            self.descriptors += 1
            self.open_.add(self.descriptors)
            return self.descriptors
        return super().open(path)
