"""The beat of the output: one picture in every slot of 1/fps, as soon as there is a new one.

A camera and an output run on clocks of their own. Waiting for a tick of the output would make every
picture up to a frame older; so each slot takes the first new picture that comes while it is open, from
half a slot before its time to half a slot after, and repeats the last one when none came.
"""

import time
from collections.abc import Callable


class Slots:
    """Slots on a fixed grid that begins now: nothing drifts, and nobody who is late has to catch up.

    Attributes:
        missed: slots that passed without a picture.
    """

    def __init__(self, fps: float, *, now: Callable[[], float] = time.monotonic) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps}, wanted more than 0")
        self.missed = 0
        self._period = 1.0 / fps
        self._start = now()
        self._now = now
        self._next = 0

    def until_open(self) -> float:
        """Seconds until the next slot opens; 0 when it is open."""
        return max(0.0, self._time(self._next - 0.5) - self._now())

    def until_closed(self) -> float:
        """Seconds that the next slot will still be open; 0 when it is already over."""
        return max(0.0, self._time(self._next + 0.5) - self._now())

    def take(self) -> float:
        """Fill a slot, and say its time in seconds from the first one; slots that are over are skipped."""
        behind = int((self._now() - self._start) / self._period) - self._next
        if behind > 0:
            self.missed += behind
            self._next += behind
        self._next += 1
        return (self._next - 1) * self._period

    def _time(self, slot: float) -> float:
        return self._start + slot * self._period
