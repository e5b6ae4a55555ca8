"""A v4l2loopback device that other programs select as their camera: our own small writer.

The versions of the driver differ, and with exclusive_caps=1 each difference bites (found with 0.12.7,
0.13.2 and 0.15.0; tests/device runs this module against the real driver):

- 0.12.7 takes an opener for a writer only after STREAMON. One that merely wrote leaves the device without
  its OUTPUT capability when it closes, and nobody can write again. So this writer does STREAMON, and frees
  a device that another program left so. Later versions refuse STREAMON (EINVAL): `write` alone is enough.
- A size that differs from what a reader holds is refused by 0.12.7 (EINVAL) and 0.13.2 (EBUSY); 0.15.0
  says yes and keeps the old size. So the format is read back.
- The device is no camera before the first frame: whoever opens this output writes one at once.
- With the writer gone readers fail (0.12.7: at once, 0.15.0: after 10 s). So the process keeps it open.
"""

import errno
import logging
import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from xpcam.devices import OUR_LABEL, Device
from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer, I420Converter
from xpcam.virtual_camera.v4l2_ioctl import (
    BUFFER_TYPE_OUTPUT,
    G_FMT,
    S_FMT,
    S_PARM,
    STREAMON,
    Format,
    Kernel,
    Linux,
    i420,
    pack_format,
    pack_rate,
    unpack_format,
)
from xpcam.virtual_camera.v4l2_readers import Readers

MODPROBE = f'sudo modprobe v4l2loopback exclusive_caps=1 video_nr=10 card_label="{OUR_LABEL}"'
_INSTALL = f"{MODPROBE} (Debian, Ubuntu: first sudo apt install v4l2loopback-dkms linux-headers-$(uname -r))"
_ADD = f'sudo v4l2loopback-ctl add -x 1 -n "{OUR_LABEL}"'
_SIZE_REFUSALS = (errno.EBUSY, errno.EINVAL)

REFRESH = 0.9  # seconds between two pictures while nobody reads
_NOTHING: Buffer = np.empty((0, 0), np.uint8)

log = logging.getLogger(__name__)


class V4l2Camera:
    """Writes I420 frames to one v4l2loopback device.

    Attributes:
        description: one line for people.
        path: the device file.
    """

    watched = True
    fault = ""

    def __init__(
        self,
        path: Path,
        *,
        size: tuple[int, int],
        fps: float,
        kernel: Kernel | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the device and set its format; raises OutputError. `size` is (width, height)."""
        self._kernel = kernel or Linux()
        self._converter = I420Converter(size)
        self.path = path.resolve()
        self._now = now
        self._shown_at = -float("inf")
        device = _usable(self._kernel, path)
        self._descriptor: int | None = _open_writable(self._kernel, device)
        try:
            _start(self._kernel, self._descriptor, device, i420(*size), fps)
        except OutputError:
            self.close()
            raise
        self._readers = Readers(self._kernel, self._descriptor, self.path, now)
        self.description = f"{device.label} ({device.path}), {size[0]}x{size[1]} I420 at {fps:g} fps"

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to I420, in a buffer used again; an empty one while nobody reads.

        One picture a second is converted all the same: it keeps what the device shows from growing old.
        """
        if self.readers() == 0 and self._now() - self._shown_at < REFRESH:
            return _NOTHING
        return self._converter.convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Hand one frame to the driver; `at` is not used. Raises OutputError where the device is gone."""
        if self._descriptor is None:
            raise OutputError(f"{self.path} is closed, a frame came to be written: open the output again")
        if not buffer.size:
            return
        try:
            written = self._kernel.write(self._descriptor, buffer.data)
        except OSError as error:
            raise OutputError(
                f"{self.path} takes no more frames ({_reason(error)}), an open device was wanted: "
                "if the driver was unloaded, load it again"
            ) from error
        if written != buffer.nbytes:
            raise OutputError(
                f"{self.path} took {written} of a frame's {buffer.nbytes} bytes: "
                "another program changed its format; close that program"
            )
        self._shown_at = self._now()

    def readers(self) -> int | None:
        """How many programs read, at least; 0 while none does, None where that cannot be known."""
        return 0 if self._descriptor is None else self._readers.count()

    def close(self) -> None:
        """Give the device back; a second call does nothing."""
        if self._descriptor is not None:
            self._kernel.close(self._descriptor)
            self._descriptor = None


def open_v4l2(*, size: tuple[int, int], fps: float, kernel: Kernel | None = None) -> V4l2Camera:
    """Open the loopback device labelled "Xpression Cam", else any free one; raises OutputError.

    Where there is none of that label, and the driver lets this user, one is made; it stays. Where ours is
    refused and another taken, a warning names both: people would look for ours.
    """
    kernel = kernel or Linux()
    found = [device for device in kernel.devices() if device.loopback]
    refusals: list[str] = []
    if all(device.label != OUR_LABEL for device in found):
        try:
            return V4l2Camera(_make(kernel), size=size, fps=fps, kernel=kernel)
        except OutputError as error:
            refusals.append(str(error))
    for device in sorted(found, key=lambda device: device.label != OUR_LABEL):
        try:
            camera = V4l2Camera(device.path, size=size, fps=fps, kernel=kernel)
        except OutputError as error:
            refusals.append(str(error))
            continue
        if refusals:
            log.warning("taking %s (%s) instead: %s", device.path, device.label, "; ".join(refusals))
        return camera
    raise OutputError("; ".join(dict.fromkeys(refusals)))


def _make(kernel: Kernel) -> Path:
    """A new loopback device of our label; raises OutputError with the command that makes one."""
    try:
        path = kernel.add(OUR_LABEL)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            remedy = f"{_ADD} (package v4l2loopback-utils)"
        else:  # no driver, or one that makes devices only when it is loaded (0.12.7)
            remedy = _INSTALL
        raise OutputError(
            f"no v4l2loopback device is called {OUR_LABEL!r}, one is wanted as the virtual camera: "
            f"run {remedy}, or record a file with --output clip.mp4"
        ) from error
    log.info("made %s; sudo v4l2loopback-ctl delete %s takes it away", path, path)
    return path


def _device(kernel: Kernel, path: Path) -> Device | None:
    real = path.resolve()
    return next((device for device in kernel.devices() if device.path == real), None)


def _usable(kernel: Kernel, path: Path) -> Device:
    """The device at `path`, a v4l2loopback device that may be opened; raises OutputError."""
    device = _device(kernel, path)
    if device is None:
        loopbacks = [str(device.path) for device in kernel.devices() if device.loopback]
        remedy = f"use {' or '.join(loopbacks)}" if loopbacks else f"run {_INSTALL}"
        raise OutputError(f"{path} is no video device, a v4l2loopback device was wanted: {remedy}")
    if not device.loopback and not device.problem:
        raise OutputError(
            f"{path} is {device.label!r} (driver {device.driver}), not a virtual camera: "
            f"use --output auto, or run {_INSTALL}"
        )
    if device.problem == os.strerror(errno.EACCES):
        raise OutputError(
            f"{path} may not be opened (permission denied), read and write are wanted: "
            'run sudo usermod -aG video "$USER" and log in again'
        )
    if device.problem:
        raise _busy(kernel, device, device.problem)
    # Both at once also while a reader holds the device of a writer that has left (0.12.7).
    if device.capture and device.output and not kernel.others(device.path):
        log.warning("%s was loaded without exclusive_caps=1: Chrome and Zoom will not list it", path)
    return device


def _open_writable(kernel: Kernel, device: Device) -> int:
    """Open and lock the device, freeing it first where an earlier writer left it stuck (0.12.7)."""
    descriptor = _open(kernel, device)
    if device.output:
        return descriptor
    try:
        if kernel.others(device.path):  # perhaps a live writer: to free the device would let two write
            raise _busy(kernel, device, "another program may be writing to it")
        log.info("%s was left stuck by another program: freeing it", device.path)
        _stream_on(kernel, descriptor)
    finally:
        kernel.close(descriptor)  # this close gives the capability back
    freed = _device(kernel, device.path)
    if freed is None or not freed.output:
        raise OutputError(
            f"{device.path} is no output, although no program writes to it: "
            f"reload the driver with sudo modprobe -r v4l2loopback && {MODPROBE}"
        )
    return _open(kernel, device)


def _open(kernel: Kernel, device: Device) -> int:
    try:
        return kernel.open(device.path)
    except OSError as error:
        raise _busy(kernel, device, _reason(error)) from error


def _start(kernel: Kernel, descriptor: int, device: Device, wanted: Format, fps: float) -> None:
    """Set format and rate and begin to stream; raises OutputError."""
    refusal = None
    try:
        kernel.ioctl(descriptor, S_FMT, pack_format(wanted))
    except OSError as error:
        refusal = error
    kept = _format(kernel, descriptor) if refusal is None or refusal.errno in _SIZE_REFUSALS else wanted
    if kept != wanted:
        raise OutputError(
            f"{device.path} keeps {kept}, {wanted} was wanted: close the program that reads it"
            f"{_names(kernel, device)}, or use --size {kept.width}x{kept.height}"
        )
    if refusal is not None:
        raise _busy(kernel, device, _reason(refusal)) from refusal
    try:
        kernel.ioctl(descriptor, S_PARM, pack_rate(fps))
    except OSError as error:  # the rate is only what readers are told
        log.info("%s does not note the rate (%s)", device.path, _reason(error))
    _stream_on(kernel, descriptor)


def _format(kernel: Kernel, descriptor: int) -> Format:
    buffer = bytearray(pack_format(i420(0, 0)))
    try:
        kernel.ioctl(descriptor, G_FMT, buffer)
    except OSError as error:
        raise OutputError(
            f"a loopback device tells no format ({_reason(error)}), the one set was wanted: reload its driver"
        ) from error
    return unpack_format(buffer)


def _stream_on(kernel: Kernel, descriptor: int) -> None:
    try:
        kernel.ioctl(descriptor, STREAMON, bytearray(struct.pack("=i", BUFFER_TYPE_OUTPUT)))
    except OSError as error:
        if error.errno != errno.EINVAL:  # later drivers want buffers first; plain writes need none
            raise OutputError(
                f"a loopback device does not stream ({_reason(error)}), it should: reload its driver"
            ) from error


def _busy(kernel: Kernel, device: Device, reason: str) -> OutputError:
    return OutputError(
        f"{device.path} ({device.label}) cannot be written to ({reason}), a free device was wanted: "
        f"close the program that uses it{_names(kernel, device)}, or name another with --output"
    )


def _names(kernel: Kernel, device: Device) -> str:
    names = [f"{holder.name} {holder.pid}" for holder in kernel.others(device.path)]
    return f" ({', '.join(names)})" if names else ""


def _reason(error: OSError) -> str:
    return error.strerror or str(error)
