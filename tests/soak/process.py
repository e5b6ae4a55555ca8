"""What a process costs, read from /proc (Linux)."""

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Cost:
    """One look.

    Attributes:
        memory_mb: resident memory, 10^6 bytes.
        descriptors: open file descriptors.
        threads: how many.
        seconds: processor time used so far.
    """

    memory_mb: float
    descriptors: int
    threads: int
    seconds: float


def cost(pid: int) -> Cost:
    """Raises OSError where there is no such process."""
    folder = Path("/proc") / str(pid)
    fields = (folder / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    pages = int((folder / "statm").read_text(encoding="utf-8").split()[1])
    return Cost(
        memory_mb=pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        descriptors=len(list((folder / "fd").iterdir())),
        threads=int(fields[17]),
        seconds=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
    )
