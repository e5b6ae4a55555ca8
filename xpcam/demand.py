"""Whether anybody looks: what decides that the camera is opened, and closed again.

Outputs know their readers in different ways and with different certainty (`VirtualCamera.readers`). Here that
becomes a steady answer: a glance (programs open every camera for a moment when they make their list) wakes
nothing, and the camera stays open for a while after the last reader has left.
"""

import time
from collections.abc import Callable
from enum import Enum

GLANCE = 0.15  # seconds that a reader has to stay before the camera opens for it


class Wanted(Enum):
    """What somebody wants to see now."""

    NOTHING = "nothing"  # nobody looks: sleep
    IDLING = "idling"  # somebody has just come: show the idling target, at once
    LIVE = "live"  # they stay: follow the camera


class Demand:
    """Watches how many programs read, and says what they want.

    Args:
        readers: how many programs read; None where that cannot be known, which counts as somebody.
        idle_timeout: seconds from the last reader until nothing is wanted; 0: something always is.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        readers: Callable[[], int | None],
        idle_timeout: float,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._readers = readers
        self._timeout = idle_timeout
        self._now = now
        # Since when somebody has been there, without a gap; who is there at the start is taken to stay.
        self._came_at: float | None = -float("inf")
        self._live_until = -float("inf")

    def wanted(self) -> Wanted:
        """What is wanted now; ask often, a reader that comes and goes in between is not seen."""
        if self._timeout == 0:
            return Wanted.LIVE
        now, readers = self._now(), self._readers()
        if readers == 0:
            self._came_at = None
        elif self._came_at is None:
            self._came_at = now
        stays = self._came_at is not None and now - self._came_at >= GLANCE
        if stays or readers is None:
            self._live_until = now + self._timeout
        if now < self._live_until:
            return Wanted.LIVE
        return Wanted.NOTHING if self._came_at is None else Wanted.IDLING
