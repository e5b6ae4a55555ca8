"""What the next picture is made with, as one value that is replaced between two pictures.

Whoever wants a change prepares all of it first, in a thread of its own, and puts it here; the frame loop
takes what was put last. So a picture is never late for a change, never half changed, and never missing.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from xpcam.rendering.animated_target import AnimatedClip, AnimatedStill, AnimatedTarget
from xpcam.rendering.renderer import LOOK, Look
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import Gains
from xpcam.target.clip import TargetClip
from xpcam.target.folder import Stored
from xpcam.target.loading import AnyTarget
from xpcam.target.still import Target

Animate = Callable[[Target | TargetClip, Gains, Look], AnimatedTarget]
"""Brings a prepared target to play; raises TargetError or EngineError where that cannot be."""


def animate(target: Target | TargetClip, gains: Gains, look: Look) -> AnimatedTarget:
    """A prepared target at play, moved by the mesh engine."""
    if isinstance(target, TargetClip):
        return AnimatedClip(target, gains, look)
    return AnimatedStill(target, gains, look)


@dataclass(frozen=True, slots=True)
class OnAir:
    """All that a picture is made with, besides the person.

    Attributes:
        animated: the target on show.
        gains: how much of each region's motion is carried over.
        look: how `animated` is drawn.
        mirror: exchange left and right.
        by_parameters: carry over blend shapes and most of the rest, not points.
        neutral: the person's neutral face where it is known; None: it is learned by itself.
        choices: the stills of a folder, one of which is on show; empty for one target.
        index: which of them.
        track_every: of so many frames one is tracked.
        animate: brings targets to play.
    """

    animated: AnimatedTarget
    gains: Gains
    look: Look = LOOK
    mirror: bool = False
    by_parameters: bool = False
    neutral: Neutral | None = None
    choices: tuple[Stored, ...] = ()
    index: int = 0
    track_every: int = 1
    animate: Animate = animate

    @classmethod
    def of(
        cls,
        target: AnyTarget,
        gains: Gains,
        look: Look = LOOK,
        *,
        mirror: bool = False,
        by_parameters: bool = False,
        neutral: Neutral | None = None,
        animate: Animate = animate,
    ) -> Self:
        """The first one: of a folder its first still."""
        one, choices = _chosen(target, 0)
        shown = animate(one, gains, look)
        return cls(shown, gains, look, mirror, by_parameters, neutral, choices, animate=animate)

    def showing(self, target: AnyTarget, index: int = 0) -> Self:
        """The same with another target; of a folder the one of that number."""
        one, choices = _chosen(target, index)
        shown = self.animate(one, self.gains, self.look)
        return replace(self, animated=shown, choices=choices, index=index)

    def drawn(self, look: Look) -> Self:
        """The same target, drawn another way."""
        return replace(self, animated=self.animated.drawn(look), look=look)


def _chosen(target: AnyTarget, index: int) -> tuple[Target | TargetClip, tuple[Stored, ...]]:
    return (target[index].target(), target) if isinstance(target, tuple) else (target, ())


class TargetSwitch:
    """Holds what is on show and takes what is to be shown next; nothing is prepared here.

    Args:
        live: what is shown first.
    """

    def __init__(self, live: OnAir) -> None:
        self._shown = self._wanted = live
        self._exchange = threading.Lock()  # held for an assignment, never while something is made
        self._closing = ThreadPoolExecutor(1, "old-target")

    @property
    def latest(self) -> OnAir:
        """What was put last, whether it is on show yet or not."""
        return self._wanted

    @property
    def changed(self) -> bool:
        """Whether something was put that is not on show yet."""
        return self._wanted is not self._shown

    def put(self, live: OnAir) -> None:
        """Show this from the next picture on; any thread."""
        with self._exchange:
            unseen, self._wanted = self._wanted, live
            left = unseen is not self._shown and unseen.animated not in (live.animated, self._shown.animated)
        if left:  # it was never on show
            unseen.animated.close()

    def current(self) -> OnAir:
        """What the next picture is made with; the frame loop's thread only."""
        live = self._wanted
        if live is not self._shown:
            with self._exchange:
                live, before, self._shown = self._wanted, self._shown, self._wanted
            live.animated.weigh(live.gains)
            if before.animated is not live.animated:
                self._closing.submit(before.animated.close)  # it may wait for a thread of its own
        return live

    def close(self) -> None:
        """Stop what works in the background."""
        self._closing.shutdown(wait=True)
        for live in (self._shown, self._wanted):
            live.animated.close()
