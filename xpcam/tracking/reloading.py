"""A face tracker whose engines are loaded again when they fail, while the camera goes on."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.inference.reloading import Reloading


class Tracker(Protocol):
    """What is loaded (`FaceTracker`, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...
    def locate(self, pixels: Pixels) -> list[FaceParams]: ...
    def reset(self) -> None: ...


class ReloadingTracker:
    """Has a tracker, or is loading one; one thread at a time uses it.

    Args:
        opener: loads a tracker; raises EngineError, at the first time here as well.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        opener: Callable[[], AbstractContextManager[Tracker]],
        *,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tracker = Reloading(opener, now=now)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the engines."""
        self._tracker.close()

    @property
    def engines(self) -> Mapping[str, str]:
        """On which device each engine really runs; empty while they are loaded again."""
        engines: Mapping[str, str] = getattr(self._tracker.held, "engines", {})
        return engines

    def track(self, frame: Frame) -> FaceParams | None:
        """As the tracker does. Raises EngineError: the engines failed, or are being loaded again."""
        with self._tracker.used() as tracker:
            return tracker.track(frame)
        raise AssertionError  # to mypy, a context manager might have swallowed an error

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        """All faces of a still picture. Raises EngineError."""
        return self._tracker.get().locate(pixels)

    def reset(self) -> None:
        """Forget the face."""
        if self._tracker.held is not None:
            self._tracker.held.reset()
