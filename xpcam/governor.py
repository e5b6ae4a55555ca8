"""Keeps the rate: where pictures take longer than there is time for, they are made with less, step by step.

The steps and what each saves were measured (docs/decisions.md). Where other programs hold the cores less work
is done sooner, too, so a step is taken all the same; but it is said. A step is taken back only when what was
measured leaves room for the fuller picture, and each time that proves wrong it is left for twice as long:
under a steady load the picture settles.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xpcam.contention import Contention

log = logging.getLogger(__name__)

WINDOW: Final = 1.0  # seconds that are looked at together
FEWEST: Final = 5  # pictures that say something
SPIKES: Final = 0.1  # share of the pictures, the longest ones, that is left out
LATE: Final = 0.95  # share of the time there is beyond which pictures come late
ROOM: Final = 0.80  # share of it that the fuller picture may be expected to take
SETTLING: Final = 0.5  # seconds after a change that are not looked at
CALM: Final = 10.0  # seconds with room before a step is taken back
RELAPSE: Final = 30.0  # a step that is wanted again so soon after was taken back too early
LONGEST: Final = 600.0  # most seconds that are then waited for
BUSY: Final = 0.25  # share of its time that the frame loop waits for a core beyond which others are named
GAP: Final = 1.0  # seconds without a picture after which all begins anew: it slept, or the camera was away


@dataclass(frozen=True, slots=True)
class Seen:
    """When the camera gave which frame."""

    sequence: int
    at: float

    def period_since(self, before: "Seen | None") -> float | None:
        """Seconds between two frames of the camera, overtaken ones included; None where that is not known."""
        if before is None or self.sequence <= before.sequence or not 0 < self.at - before.at < GAP:
            return None
        return (self.at - before.at) / (self.sequence - before.sequence)


@dataclass(frozen=True, slots=True)
class Quality:
    """What a picture is made with.

    Attributes:
        name: what was lowered last, for people.
        cost: processor time of a picture, as a share of the full one.
        interior_every: of so many pictures one has the inside of its mouth drawn anew.
        coarse: how many pixels of the picture one drawn pixel takes, on a side.
        track_every: of so many frames one is tracked.
    """

    name: str
    cost: float
    interior_every: int = 1
    coarse: float = 1.0
    track_every: int = 1


STEPS: Final = (
    Quality("full quality", 1.0),
    Quality("mouth drawn every second picture, face at two thirds of the resolution", 0.89, 2, 1.5),
    Quality("face drawn at half the resolution", 0.80, 2, 2.0),
    Quality("every second frame tracked", 0.53, 2, 2.0, 2),
)
"""From full quality to least."""


class Governor:
    """Says which of `STEPS` to take. One thread tells it, any may read.

    Args:
        fps: the rate to keep.
        change: is told of each step that is to be taken; must not wait.
        contention: says how much of the frame loop's time it waited for a core.

    Attributes:
        state: index into `STEPS`, and why this one, in one line.
        changes: how many there were.
        held: share of the last second's work in which others held the cores; None where that is not known.
    """

    def __init__(
        self,
        fps: float,
        change: Callable[[Quality], None],
        contention: Callable[[], float | None] | None = None,
    ) -> None:
        self._contention = contention or Contention().share
        self.held: float | None = None
        self.state = (0, "pictures are made in time")
        self.changes = 0
        self._period = 1.0 / fps
        self._change = change
        self._costs: list[float] = []
        self._periods: list[float] = []
        self._from: float | None = None  # when the present window began
        self._last = -math.inf
        self._calm = 0.0
        self._patience = CALM
        self._raised_at = -math.inf

    def keep(self, fps: float) -> None:
        """Keep another rate; any thread."""
        self._period = 1.0 / fps

    @property
    def step(self) -> int:
        """Index into `STEPS`."""
        return self.state[0]

    @property
    def quality(self) -> Quality:
        """What pictures are made with, or shall be."""
        return STEPS[self.step]

    def made(self, seconds: float, at: float, period: float | None = None) -> None:
        """A picture took so long to make.

        Args:
            seconds: from the frame being there to the picture being out.
            at: when that was, seconds of a steady clock.
            period: seconds between two frames of the camera, where that is known; a camera slower than the
                rate leaves more time.
        """
        if at - self._last > GAP:
            self._begin(at)
            self._contention()  # what was before says nothing
            self._calm = 0.0
        self._last = at
        if self._from is None or at < self._from:
            return
        self._costs.append(seconds)
        if period is not None:
            self._periods.append(period)
        if at - self._from >= WINDOW and len(self._costs) >= FEWEST:
            self._judge(at)

    def _judge(self, at: float) -> None:
        assert self._from is not None
        self.held = self._contention()
        took, wanted = typical(self._costs), max(self._period, median(self._periods))
        span = at - self._from
        self._begin(at)
        if took > LATE * wanted:
            self._calm = 0.0
            if self.step + 1 < len(STEPS):
                self._lower(at, f"pictures took {1e3 * took:.0f} of {1e3 * wanted:.0f} ms{self._others()}")
            return
        fuller = took * STEPS[self.step - 1].cost / self.quality.cost if self.step else 0.0
        self._calm = self._calm + span if fuller <= ROOM * wanted else 0.0
        if self.step and self._calm >= self._patience:
            self._raise(at, f"{1e3 * took:.0f} of {1e3 * wanted:.0f} ms for {self._calm:.0f} s")

    def _others(self) -> str:
        if self.held is None or self.held < BUSY:
            return ""
        return f"; other programs held the cores for {100 * self.held:.0f} % of it"

    def _lower(self, at: float, why: str) -> None:
        relapsed = at - self._raised_at < RELAPSE
        self._patience = min(2 * self._patience, LONGEST) if relapsed else max(self._patience / 2, CALM)
        self._go(self.step + 1, at, why)
        log.warning("quality: %s (%s)", self.quality.name, why)

    def _raise(self, at: float, why: str) -> None:
        self._raised_at = at
        self._go(self.step - 1, at, f"room again: {why}")
        log.info("quality: %s (%s)", self.quality.name, self.state[1])

    def _go(self, step: int, at: float, why: str) -> None:
        self.state = step, why
        self.changes += 1
        self._calm = 0.0
        self._begin(at + SETTLING)
        self._change(self.quality)

    def _begin(self, at: float) -> None:
        self._costs.clear()
        self._periods.clear()
        self._from = at


def typical(costs: list[float]) -> float:
    """The mean without the longest tenth."""
    kept = sorted(costs)[: len(costs) - math.ceil(SPIKES * len(costs))]
    return sum(kept) / len(kept)


def median(values: list[float]) -> float:
    """The median; 0 of nothing."""
    return sorted(values)[len(values) // 2] if values else 0.0
