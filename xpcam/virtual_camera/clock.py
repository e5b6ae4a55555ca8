"""The beat that frames are published at."""

import time
from collections.abc import Callable


class PacingClock:
    """Ticks on a fixed grid of 1/fps seconds that begins with the first `wait`.

    A tick's time is start + n / fps, so that nothing drifts however long it runs. Whoever comes late is
    not made to catch up: the ticks that have passed are skipped and counted, and the next ones lie on
    the same grid.

    Attributes:
        missed: ticks that were skipped so far.
    """

    def __init__(
        self,
        fps: float,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`now` gives seconds; `sleep` waits for some: an `Event.wait` makes a clock that can be woken."""
        if not fps > 0:
            raise ValueError(f"fps is {fps}, wanted more than 0")
        self.missed = 0
        self._fps = fps
        self._now = now
        self._sleep = sleep
        self._start: float | None = None
        self._tick = 0  # the next one, counted from the start

    def wait(self) -> float:
        """Sleep until the next tick and return its time in seconds; a late caller returns at once."""
        now = self._now()
        if self._start is None:
            self._start = now
        latest = int((now - self._start) * self._fps)  # the last tick that is not in the future
        if latest > self._tick:
            self.missed += latest - self._tick
            self._tick = latest
        due = self._start + self._tick / self._fps
        if due > now:
            self._sleep(due - now)
        self._tick += 1
        return due
