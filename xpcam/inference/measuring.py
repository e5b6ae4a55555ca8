"""How fast something runs: alone, or for several streams at once."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Speed:
    """What was measured.

    Attributes:
        median_ms, p95_ms: of one run, as the stream that waits for it sees it.
        per_second: runs a second, of all streams together.
    """

    median_ms: float
    p95_ms: float
    per_second: float


def measure(run: Callable[[], object], seconds: float, streams: int = 1) -> Speed:
    """Run it for so long, by so many threads at once; each runs it at least once."""
    run()
    began = time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        times = [
            spent
            for stream in [pool.submit(_repeat, run, began + seconds) for _ in range(streams)]
            for spent in stream.result()
        ]
    elapsed = time.perf_counter() - began
    median, p95 = np.percentile(times, [50, 95]) * 1e3
    return Speed(float(median), float(p95), len(times) / elapsed)


def _repeat(run: Callable[[], object], until: float) -> list[float]:
    times: list[float] = []
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return times
