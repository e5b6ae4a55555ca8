"""A daemon seen from outside: its log, its descriptors and its processor time, from /proc."""

import os
import time
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np

from xpcam.frame import Pixels

FIRST_FRAME = "first frame came after "

Seen = list[tuple[float, Pixels]]
"""When a reader got a picture (monotonic seconds), and the picture."""


class Child(Protocol):
    """What `subprocess.Popen` offers."""

    @property
    def pid(self) -> int: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int | None: ...
    def send_signal(self, number: int, /) -> None: ...
    def terminate(self) -> None: ...
    def kill(self) -> None: ...


class Daemon:
    """A running daemon that logs into a file; `camera` is the name of the file that its camera is."""

    def __init__(self, child: Child, log: Path, camera: str) -> None:
        self.child = child
        self._log = log
        self._camera = camera

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def camera_open(self) -> bool:
        """Whether a descriptor of the process is its camera."""
        links = []
        for link in Path(f"/proc/{self.child.pid}/fd").iterdir():
            try:
                links.append(link.readlink().name)
            except FileNotFoundError:
                continue  # closed meanwhile
        return self._camera in links

    @property
    def slept(self) -> bool:
        """Whether its loop runs, and has found nobody looking."""
        return "nobody looks" in self.log

    @property
    def processor_seconds(self) -> float:
        """User and system time of the process with all its threads."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def share_of_a_core(self, seconds: float) -> float:
        """What part of a core it takes from now on."""
        began, used = time.monotonic(), self.processor_seconds
        time.sleep(seconds)
        return (self.processor_seconds - used) / (time.monotonic() - began)

    def wakes_ms(self) -> list[float]:
        """Milliseconds from each reader to the camera's first frame, as it logs them."""
        return [float(said.split()[0]) for said in self.log.split(FIRST_FRAME)[1:]]

    def reloads(self) -> int:
        """How often its engines were loaded again."""
        return self.log.count("the engines are loaded again")


def longest_freeze(seen: Seen) -> float:
    """Seconds for which the picture was the same, or there was none."""
    changes = [seen[0][0]]
    for (_, before), (at, now) in pairwise(seen):
        if (before != now).any():
            changes.append(at)
    return max(after - before for before, after in pairwise([*changes, seen[-1][0]]))


def darkest(seen: Iterable[tuple[float, Pixels]]) -> float:
    """The mean level of the darkest picture."""
    return float(min(pixels.mean() for _, pixels in seen))


def differ(first: Pixels, second: Pixels) -> float:
    """Mean difference of two pictures, levels."""
    return float(np.abs(first.astype(int) - second).mean())
