"""Motions for all frames where only some are tracked: each shows a step of the way to the last one seen."""

from xpcam.retargeting.retargeter import Motion, blend


class Between:
    """Takes the motion of every so-manieth frame, and gives one for each.

    A target then makes a motion one frame later for every frame that was left out, but as evenly as before.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget what was seen; the next frame is wanted."""
        self._from: Motion | None = None
        self._to: Motion | None = None
        self._frame = 0

    def wants(self, every: int) -> bool:
        """Whether the next frame's motion is wanted, one in `every`."""
        return self._to is None or self._frame % every == 0

    def take(self, motion: Motion | None) -> None:
        """The next frame's motion; None: nobody is there."""
        self._from, self._to, self._frame = self._to, motion, 0

    def motion(self, every: int) -> Motion | None:
        """What to show for the next frame."""
        self._frame += 1
        if self._to is None or self._from is None or self._frame >= every:
            return self._to
        return blend(self._from, self._to, self._frame / every)
