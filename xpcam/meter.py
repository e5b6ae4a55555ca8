"""What a run does, counted and timed, cheap enough for every frame and safe to read from another thread."""

import os
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Frame

STAGES = ("decode", "track", "retarget", "render", "convert", "write")
REMEMBERED = 4096  # measurements kept of each kind: a service runs for weeks
RATE_SECONDS = 3.0  # over which the present rates are taken
LATELY = 300  # measurements that say how it goes now
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.04, 0.06, 0.1, 0.25, 0.5, 1.0)
"""Upper bounds of the histograms' buckets, seconds."""


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did, in honest numbers.

    Attributes:
        frames_generated: pictures made from a new camera frame.
        frames_published: pictures the output was given, repeats and idle ones included.
        dropped: camera frames that were overtaken by a newer one.
        seconds: length of the run.
        fps: generated pictures per second of the run.
        latency_p50_ms, latency_p95_ms: from the camera's delivery to the output's, generated frames only.
        stages_ms: median milliseconds of each stage.
        rss_mb: resident memory at the end.
        asleep: seconds of the run in which nobody looked and nothing was done; `fps` leaves them out.
    """

    frames_generated: int
    frames_published: int
    dropped: int
    seconds: float
    fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    stages_ms: dict[str, float]
    rss_mb: float
    asleep: float = 0.0

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {value:.1f}" for name, value in self.stages_ms.items())
        counts = (
            f"{self.frames_generated} frames generated in {self.seconds:.1f} s: {self.fps:.1f} per second; "
            f"{self.frames_published} published, {self.dropped} camera frames dropped"
        )
        if self.asleep:
            counts += f", asleep for {self.asleep:.1f} s"
        latency = f"{self.latency_p50_ms:.1f} ms median, {self.latency_p95_ms:.1f} ms p95"
        memory = f"memory {self.rss_mb:.0f} MB; stages in ms: {stages}"
        if self.latency_p95_ms == 0:  # an offline rendering has none
            return f"{counts}\n{memory}"
        return f"{counts}\nlatency camera to output: {latency}\n{memory}"


class Latest:
    """The latest values of one kind; one thread adds, any may read.

    Attributes:
        count: how many there ever were.
    """

    def __init__(self) -> None:
        self._kept: NDArray[np.float64] = np.zeros(REMEMBERED)
        self.count = 0

    def clear(self) -> None:
        """Forget all."""
        self.count = 0

    def add(self, value: float) -> None:
        self._kept[self.count % REMEMBERED] = value
        self.count += 1

    def values(self, most: int = REMEMBERED) -> NDArray[np.float64]:
        """The latest ones, at most so many."""
        count = self.count
        return self._kept[np.arange(max(0, count - min(most, REMEMBERED)), count) % REMEMBERED]


class Durations(Latest):
    """Durations in seconds, with how many there ever were in each bucket of `BOUNDS`.

    Attributes:
        total: their sum, seconds.
        buckets: (len(BOUNDS) + 1,) how many were at most each bound, and longer than the last one; each
            duration is counted once.
    """

    def __init__(self) -> None:
        super().__init__()
        self.total = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def clear(self) -> None:
        """Forget all."""
        super().clear()
        self.total = 0.0
        self.buckets = [0] * (len(BOUNDS) + 1)

    def add(self, value: float) -> None:
        super().add(value)
        self.buckets[bisect_left(BOUNDS, value)] += 1
        self.total += value

    def percentiles_ms(self, most: int = REMEMBERED) -> tuple[float, float]:
        """Median and 95th percentile of the latest ones, milliseconds; zeros where there are none."""
        values = self.values(most)
        if not len(values):
            return 0.0, 0.0
        p50, p95 = np.percentile(values, (50, 95)) * 1e3
        return float(p50), float(p95)


@dataclass(slots=True)
class Meter:
    """Counts and times a run. One thread counts, any may read."""

    generated: int = 0
    published: int = 0
    asleep: float = 0.0
    latency: Durations = field(default_factory=Durations)
    stages: dict[str, Durations] = field(default_factory=lambda: {name: Durations() for name in STAGES})
    _began: float = field(default_factory=time.monotonic)
    _made: Latest = field(default_factory=Latest)
    _given: Latest = field(default_factory=Latest)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of one frame."""
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def begin(self) -> None:
        """Start counting now: what came before was preparation."""
        self.generated = self.published = 0
        self.asleep = 0.0
        self._began = time.monotonic()
        for kept in (self.latency, *self.stages.values(), self._made, self._given):
            kept.clear()

    def add(self, name: str, seconds: float) -> None:
        self.stages[name].add(seconds)

    def delivered(self, frame: Frame) -> None:
        """A picture made from `frame` has just reached the output."""
        self.made()
        self.latency.add(time.monotonic() - frame.captured_at)

    def made(self) -> None:
        """A picture of something new has just reached the output."""
        self.generated += 1
        self._made.add(time.monotonic())

    def given(self) -> None:
        """The output was given a picture, a new one or not."""
        self.published += 1
        self._given.add(time.monotonic())

    @property
    def worked(self) -> float:
        """Seconds of all stages so far but decoding, which has a thread of its own."""
        return sum(times.total for name, times in self.stages.items() if name != "decode")

    @property
    def seconds(self) -> float:
        """Length of the run so far."""
        return time.monotonic() - self._began

    def rates(self) -> tuple[float, float]:
        """Pictures generated and published per second, over the last `RATE_SECONDS`."""
        window = min(RATE_SECONDS, self.seconds)
        since = time.monotonic() - window
        made, given = (int((times.values() > since).sum()) for times in (self._made, self._given))
        return (made / window, given / window) if window > 0 else (0.0, 0.0)

    def report(self, dropped: int = 0) -> RunReport:
        seconds = self.seconds
        p50, p95 = self.latency.percentiles_ms()
        stages = {name: durations.percentiles_ms()[0] for name, durations in self.stages.items()}
        awake = seconds - self.asleep
        fps = self.generated / awake if awake > 0 else 0.0
        return RunReport(
            *(self.generated, self.published, dropped, seconds, fps, p50, p95, stages),
            *(resident_mb(), self.asleep),
        )


def resident_mb() -> float:
    """Resident memory of this process in megabytes (10^6 bytes); 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
