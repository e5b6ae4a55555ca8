"""Engines that are loaded again when they fail, while everything else goes on.

A graphics driver that was reset, or a machine that slept, leaves engines that never work again.
"""

import logging
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Final, Generic, TypeVar

from xpcam.errors import EngineError

BACK_OFF: Final = (0.0, 1.0, 2.0)  # seconds before the engines are loaded again; the last one repeats

log = logging.getLogger(__name__)

T = TypeVar("T")


class Reloading(Generic[T]):
    """Has what works with engines, or is loading it; one thread at a time uses it.

    Args:
        opener: loads it; raises EngineError, at the first time here as well.
        now: seconds, monotonic.

    Attributes:
        held: what was loaded; None while it is loaded again.
    """

    def __init__(
        self, opener: Callable[[], AbstractContextManager[T]], *, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._opener = opener
        self._now = now
        self._executor = ThreadPoolExecutor(1, "load-engines")
        self._loading: Future[tuple[AbstractContextManager[T], T]] | None = None
        self._failures = 0
        self._retry_at = 0.0
        self._opened: AbstractContextManager[T] | None
        self.held: T | None
        self._opened, self.held = self._load()

    def get(self) -> T:
        """What is loaded; raises EngineError where it is not there yet, and sees to it that it will be."""
        if self.held is None:
            if self._loading is None and self._now() >= self._retry_at:
                self._loading = self._executor.submit(self._load)
            if self._loading is None or not self._loading.done():
                raise EngineError("the engines are being loaded again: wait a moment")
            loading, self._loading = self._loading, None
            try:
                self._opened, self.held = loading.result()
            except EngineError:
                self._lose()
                raise
            log.info("the engines are loaded again")
        return self.held

    @contextmanager
    def used(self) -> Iterator[T]:
        """As `get`; what fails within is given up, and loaded again."""
        held = self.get()
        try:
            yield held
        except EngineError:
            self._lose()
            raise
        self._failures = 0

    def close(self) -> None:
        """Free the engines."""
        self._executor.shutdown(wait=True)
        if self._loading is not None and self._loading.exception() is None:
            self._opened, _ = self._loading.result()
        self._free()

    def _load(self) -> tuple[AbstractContextManager[T], T]:
        opened = self._opener()
        return opened, opened.__enter__()

    def _lose(self) -> None:
        self._free()
        self._retry_at = self._now() + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1

    def _free(self) -> None:
        opened, self._opened, self.held = self._opened, None, None
        if opened is not None:
            opened.__exit__(None, None, None)
