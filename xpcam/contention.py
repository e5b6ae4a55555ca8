"""How much of its time a thread waits for a core that other programs, or other threads, hold."""

from pathlib import Path
from typing import Final

SCHEDSTAT: Final = Path("/proc/thread-self/schedstat")
"""Nanoseconds on a core, nanoseconds ready but waiting for one, turns (kernel: sched-stats.rst)."""


class Contention:
    """Asked by one thread, again and again, of itself.

    Args:
        source: what to read; another file in tests.
    """

    def __init__(self, source: Path = SCHEDSTAT) -> None:
        self._source = source
        self._before: tuple[int, int] | None = None

    def share(self) -> float | None:
        """Of the time since the last call in which this thread could have worked, the part in which it waited
        for a core, 0 to 1; None at first, and where the system does not say.
        """
        before, self._before = self._before, self._read()
        if before is None or self._before is None:
            return None
        worked, waited = (now - then for now, then in zip(self._before, before, strict=True))
        return waited / (worked + waited) if worked + waited > 0 else 0.0

    def _read(self) -> tuple[int, int] | None:
        try:
            worked, waited, _ = map(int, self._source.read_text(encoding="ascii").split())
        except (OSError, ValueError):
            return None
        return worked, waited
