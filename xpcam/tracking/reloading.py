"""A face tracker whose engines are loaded again when they fail, while the camera goes on.

A graphics driver that was reset, or a machine that slept, leaves engines that never work again.
"""

import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self

from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels

BACK_OFF = (0.0, 1.0, 2.0)  # seconds before the engines are loaded again; the last one repeats

log = logging.getLogger(__name__)


class Tracker(Protocol):
    """What is loaded (`FaceTracker`, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...
    def locate(self, pixels: Pixels) -> list[FaceParams]: ...
    def reset(self) -> None: ...


Opened = AbstractContextManager[Tracker]


class ReloadingTracker:
    """Has a tracker, or is loading one; one thread at a time uses it.

    Args:
        opener: loads a tracker; raises EngineError, at the first time here as well.
        now: seconds, monotonic.
    """

    def __init__(self, opener: Callable[[], Opened], *, now: Callable[[], float] = time.monotonic) -> None:
        self._opener = opener
        self._now = now
        self._executor = ThreadPoolExecutor(1, "load-engines")
        self._loading: Future[tuple[Opened, Tracker]] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._held: Opened | None
        self._tracker: Tracker | None
        self._held, self._tracker = self._load()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the engines."""
        self._executor.shutdown(wait=True)
        if self._loading is not None and self._loading.exception() is None:
            self._held, _ = self._loading.result()
        self._free()

    @property
    def engines(self) -> Mapping[str, str]:
        """On which device each engine really runs; empty while they are loaded again."""
        engines: Mapping[str, str] = getattr(self._tracker, "engines", {})
        return engines

    def track(self, frame: Frame) -> FaceParams | None:
        """As the tracker does. Raises EngineError: the engines failed, or are being loaded again."""
        tracker = self._loaded()
        try:
            found = tracker.track(frame)
        except EngineError:
            self._lose()
            raise
        self._failures = 0
        return found

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        """All faces of a still picture. Raises EngineError."""
        return self._loaded().locate(pixels)

    def reset(self) -> None:
        """Forget the face."""
        if self._tracker is not None:
            self._tracker.reset()

    def _load(self) -> tuple[Opened, Tracker]:
        held = self._opener()
        return held, held.__enter__()

    def _loaded(self) -> Tracker:
        """The tracker; raises EngineError where it is not there yet, and sees to it that it will be."""
        if self._tracker is None:
            if self._loading is None and self._now() >= self._retry_at:
                self._loading = self._executor.submit(self._load)
            if self._loading is None or not self._loading.done():
                raise EngineError("the engines are being loaded again: wait a moment")
            loading, self._loading = self._loading, None
            try:
                self._held, self._tracker = loading.result()
            except EngineError:
                self._lose()
                raise
            log.info("the engines are loaded again")
        return self._tracker

    def _lose(self) -> None:
        self._free()
        self._retry_at = self._now() + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1

    def _free(self) -> None:
        held, self._held, self._tracker = self._held, None, None
        if held is not None:
            held.__exit__(None, None, None)
