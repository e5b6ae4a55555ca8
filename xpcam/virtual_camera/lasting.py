"""A virtual camera that outlasts its device: lost while it runs, it is opened again as soon as it can be."""

import logging
import time
from collections.abc import Callable

import numpy as np

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.camera import VirtualCamera
from xpcam.virtual_camera.i420 import Buffer

RETRY = 1.0  # seconds between two attempts
_NOTHING: Buffer = np.empty((0, 0), np.uint8)

log = logging.getLogger(__name__)


class LastingCamera:
    """Opens its camera again when it breaks; nobody reads meanwhile, and what is shown is dropped.

    Args:
        opener: opens it the first time, and later where `again` is not given. Raises OutputError.
        again: opens it once it was lost. Raises OutputError.
        now: seconds, monotonic.

    Attributes:
        description: that of the camera it has, or had last.
        fault: why it is lost; "" while it is not.
    """

    def __init__(
        self,
        opener: Callable[[], VirtualCamera],
        *,
        again: Callable[[], VirtualCamera] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open it; raises OutputError, at this first time only."""
        self._again = again or opener
        self._now = now
        self._camera: VirtualCamera | None = opener()
        self._open = True
        self._retry_at = 0.0
        self._zero: float | None = 0.0  # when a recording that is begun anew begins
        self.watched = self._camera.watched
        self.description = self._camera.description
        self.fault = ""

    def readers(self) -> int | None:
        """As the camera says; 0 while it is lost. Tries to get it back."""
        camera = self._current()
        return 0 if camera is None else camera.readers()

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to the format of the camera; an empty buffer while it is lost."""
        camera = self._current()
        return _NOTHING if camera is None else camera.convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        """Show one frame. Raises OutputError where this was closed."""
        if not self._open:
            raise OutputError(f"{self.description} is closed, a frame came: open the output again")
        if self._camera is None or not buffer.size:
            return
        if self._zero is None:
            self._zero = at
        try:
            self._camera.write(buffer, None if at is None else at - (self._zero or 0.0))
        except OutputError as error:
            log.warning("%s; it is tried again until it works", error)
            self.fault = str(error)
            self._camera.close()
            self._camera = None
            self._retry_at = self._now() + RETRY

    def close(self) -> None:
        """Give the camera back; a second call does nothing. Raises OutputError: a recording was cut short."""
        ended, self._open = self._open, False
        if self._camera is not None:
            self._camera.close()
            self._camera = None
        elif ended and not self.watched:
            raise OutputError(self.fault)

    def _current(self) -> VirtualCamera | None:
        """The camera, opened again where it was lost and can be."""
        if self._camera is None and self._open and self._now() >= self._retry_at:
            self._try_again()
        return self._camera

    def _try_again(self) -> None:
        self._retry_at = self._now() + RETRY
        try:
            self._camera = self._again()
        except OutputError as error:
            self.fault = str(error)
            log.debug("the output is not back: %s", error)
            return
        self._zero = None
        self.fault = ""
        self.description = self._camera.description
        log.info("the output is back: %s", self.description)
