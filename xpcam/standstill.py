"""Notices that the machine was suspended, or that the program was held up."""

import logging
import time
from collections.abc import Callable

LONGEST = 5.0  # seconds that a round of the frame loop may take, on the busiest machine

log = logging.getLogger(__name__)


def boot_time() -> float:
    """Seconds of a clock that goes on while the machine is suspended, where there is one."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Standstill:
    """Is told of every round of the frame loop.

    Attributes:
        seconds: how long nothing went on, in all.
    """

    def __init__(self, now: Callable[[], float] | None = None) -> None:
        self.seconds = 0.0
        self._now = now or boot_time
        self._last = self._now()

    def look(self) -> None:
        """A round has ended; says so where the last one ended long ago."""
        now = self._now()
        passed, self._last = now - self._last, now
        if passed > LONGEST:
            self.seconds += passed
            log.warning("nothing went on for %.0f s: the machine was suspended, or this was held up", passed)
