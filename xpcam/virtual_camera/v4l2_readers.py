"""Who reads a v4l2loopback device: what its driver tells, and what can be concluded where it does not.

From 0.13 on the driver has an event for it (V4L2_EVENT_PRI_CLIENT_USAGE), which counts programs that stream.
Those that call read() it misses, and 0.12.7 tells nothing: there a program that has the device open counts.
With 0.13 and later it does so only after a second, for a busy machine takes long to look a device over; with
0.12.7 at once, but after a second where a visit within the last minute was shorter: somebody polls.
How often the driver's devices are open costs one look into sysfs; whose descriptors those are, a walk
through /proc, which is done only when that number has changed.
"""

import logging
import time
from collections.abc import Callable
from pathlib import Path

from xpcam.virtual_camera.v4l2_ioctl import Kernel

LOOKED_OVER = 1.0  # seconds for which a program may have the device open without reading it
WARY = 60.0  # seconds after such a visit for which the next one is not taken for a reader at once
LOOK_AGAIN = 10.0  # seconds after which /proc is read again although nothing seems to have changed

log = logging.getLogger(__name__)


class Readers:
    """Counts the readers of one device that this process has open once, for writing."""

    def __init__(
        self, kernel: Kernel, descriptor: int, path: Path, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._kernel = kernel
        self._descriptor = descriptor
        self._path = path
        self._now = now
        self._tells = True
        self._opened = 0
        self._looked_at = -float("inf")
        self._holders: int | None = 0
        self._held_since: float | None = None
        self._wary_until = -float("inf")

    def count(self) -> int | None:
        """How many programs read, at least; 0 when none does, None where that cannot be known."""
        told, held, now = self._told(), self._held(), self._now()
        glance = self._held_since is not None and now - self._held_since < LOOKED_OVER
        if held == 0:
            if glance:
                self._wary_until = now + WARY
            self._held_since = None
        elif self._held_since is None:
            self._held_since, glance = now, True
        wary = self._tells or now < self._wary_until
        return told or (0 if wary and glance else held)

    def _told(self) -> int:
        """What the driver says; 0 as well where it says nothing."""
        if self._tells:
            try:
                return self._kernel.readers(self._descriptor)
            except OSError as error:
                log.debug("%s does not tell its readers (%s)", self._path, error.strerror)
                self._tells = False
        return 0

    def _held(self) -> int | None:
        """How many other programs have the device open."""
        opened, now = self._kernel.opened(), self._now()
        if opened is None or opened <= 1:
            return None if opened is None else 0
        if opened != self._opened or now - self._looked_at >= LOOK_AGAIN:
            self._opened, self._looked_at = opened, now
            self._holders = self._others(opened)
        return self._holders

    def _others(self, opened: int) -> int | None:
        """The same from /proc, which hides the programs of other users."""
        visible = len(self._kernel.others(self._path))
        if not visible and self._kernel.loopbacks() == 1:
            return opened - 1
        return visible or None
