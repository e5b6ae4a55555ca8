"""The target on show, and the quick change to another one of a folder."""

import logging
from concurrent.futures import Future, ThreadPoolExecutor

from xpcam.rendering.animated_target import AnimatedClip, AnimatedStill, AnimatedTarget
from xpcam.rendering.renderer import LOOK, Look
from xpcam.retargeting.retargeter import Gains
from xpcam.target.clip import TargetClip
from xpcam.target.loading import AnyTarget
from xpcam.target.still import Target

log = logging.getLogger(__name__)

"""What can be shown: a still, a clip, or the stills of a folder, of which the first is shown first."""


class TargetSwitch:
    """Holds one animated target at a time; the next one is made in a thread while the last one still plays.

    Args:
        target: what is shown.
        gains: how much of each region's motion is carried over.
        look: how it is drawn.
    """

    def __init__(self, target: AnyTarget, gains: Gains, look: Look = LOOK) -> None:
        self._gains, self._look = gains, look
        self._choices = target if isinstance(target, tuple) else ()
        self._executor = ThreadPoolExecutor(1, "next-target")
        self._wanted: int | None = None
        self._coming: Future[AnimatedTarget] | None = None
        self.index = 0
        if isinstance(target, TargetClip):
            self._current: AnimatedTarget = AnimatedClip(target, gains, look)
        else:
            self._current = self._still(target[0].target() if isinstance(target, tuple) else target)

    def show(self, index: int) -> None:
        """Change to a target of the folder as soon as it is ready; callable from a signal handler.

        Raises:
            IndexError: there is none of that number.
        """
        if not 0 <= index < max(1, len(self._choices)):
            raise IndexError(f"there is no target {index}: wanted 0 to {max(0, len(self._choices) - 1)}")
        self._wanted = index

    def show_next(self) -> None:
        """Change to the next target of the folder, after the last one to the first."""
        if self._choices:
            latest = self.index if self._wanted is None else self._wanted
            self.show((latest + 1) % len(self._choices))

    def current(self) -> AnimatedTarget:
        """The target that the next picture is of."""
        if self._coming is not None and self._coming.done():
            self._current.close()
            self._current, self._coming = self._coming.result(), None
            log.info("target: %s", self._choices[self.index].name)
        wanted = self._wanted
        if wanted is not None and self._coming is None:
            self._wanted = None
            if wanted != self.index:
                self.index = wanted
                self._coming = self._executor.submit(lambda: self._still(self._choices[wanted].target()))
        return self._current

    def close(self) -> None:
        """Stop what works in the background."""
        self._executor.shutdown(wait=True, cancel_futures=True)
        self._current.close()

    def _still(self, target: Target) -> AnimatedTarget:
        return AnimatedStill(target, self._gains, self._look)
