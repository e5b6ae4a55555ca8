"""The beat of the output: one picture in every slot of 1/fps, as soon as there is a new one.

A camera and an output run on clocks of their own. Waiting for a tick of the output would make every
picture up to a frame older; so each slot takes the first new picture that comes while it is open, from
half a slot before its time to half a slot after, and repeats the last one when none came. Where a camera's
pictures come just before their slots open, one after the other, the grid moves to meet them.
"""

import time
from collections.abc import Callable

WINDOW = 15  # slots after which the grid may move
WORTH = 0.001  # seconds that are worth a move


class Slots:
    """Slots on a fixed grid that begins now: nothing drifts, and nobody who is late has to catch up.

    Args:
        fps: slots a second.
        after: those before, whose time goes on; None: time begins anew.
        now: seconds, monotonic.

    Attributes:
        fps: as given.
        missed: slots that passed without a picture.
    """

    def __init__(
        self, fps: float, after: "Slots | None" = None, *, now: Callable[[], float] = time.monotonic
    ) -> None:
        if not fps > 0:
            raise ValueError(f"fps is {fps}, wanted more than 0")
        self.fps = fps
        self.missed = 0
        self._period = 1.0 / fps
        self._start = now()
        self._begins = 0.0 if after is None else after.since_first()  # seconds from the very first slot
        self._now = now
        self._next = 0
        self._waits: list[float] = []

    def since_first(self) -> float:
        """Seconds since the very first slot."""
        return self._begins + self._now() - self._start

    def until_open(self) -> float:
        """Seconds until the next slot opens; 0 when it is open."""
        return max(0.0, self._time(self._next - 0.5) - self._now())

    def until_closed(self) -> float:
        """Seconds that the next slot will still be open; 0 when it is already over."""
        return max(0.0, self._time(self._next + 0.5) - self._now())

    def take(self, arrived: float | None = None) -> float:
        """Fill a slot, and say its time in seconds from the very first one; slots that are over are skipped.

        `arrived` is when its picture was there; None for one that is repeated or idle.
        """
        self._meet(0.0 if arrived is None else max(0.0, self._time(self._next - 0.5) - arrived))
        behind = int((self._now() - self._start) / self._period) - self._next
        if behind > 0:
            self.missed += behind
            self._next += behind
        self._next += 1
        return self._begins + (self._next - 1) * self._period

    def _meet(self, waited: float) -> None:
        """Move the grid by the least that a picture waited for its slot lately: all waited as long."""
        self._waits.append(waited)
        if len(self._waits) == WINDOW:
            least = min(self._waits)
            self._waits.clear()
            if least > WORTH:
                self._start -= least

    def _time(self, slot: float) -> float:
        return self._start + slot * self._period
