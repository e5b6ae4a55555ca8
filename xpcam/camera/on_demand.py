"""A camera that is open only while it is wanted; where it does not open, it is tried again.

To open a camera takes up to seconds; who waits for a frame meanwhile gets none, and shows something else.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from queue import SimpleQueue

from xpcam.camera.capture import BACK_OFF, Camera
from xpcam.errors import CameraError
from xpcam.frame import Frame

log = logging.getLogger(__name__)


class CameraOnDemand:
    """Opens and closes a camera as told; one thread at a time uses it.

    Args:
        opener: opens the camera, which may take a while. Raises CameraError.
        patient: a failure to open it is retried, not raised, from the first time on.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        opener: Callable[[], Camera],
        *,
        patient: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._opener = opener
        self._now = now
        self._executor = ThreadPoolExecutor(1, "open-camera")
        self._opening: Future[Camera] | None = None
        self._camera: Camera | None = None
        self._asleep = True
        self._patient = patient
        self._failures = 0
        self._refusal = ""
        self._retry_at = -float("inf")
        self._dropped = 0
        self._others: SimpleQueue[Camera | None] = SimpleQueue()

    @property
    def asleep(self) -> bool:
        """Whether it is closed, and stays so until it is woken."""
        return self._asleep

    @property
    def opening(self) -> bool:
        """Whether it is not known yet if it opens."""
        return self._opening is not None

    @property
    def finished(self) -> bool:
        """True when a file that plays once has ended."""
        return self._camera is not None and self._camera.finished

    @property
    def fault(self) -> str:
        """Why it gives no pictures though it is wanted, in a line; "" where nothing is wrong."""
        camera = self._camera
        return self._refusal if camera is None else camera.fault

    @property
    def dropped(self) -> int:
        """Frames that nobody fetched before a newer one came, of all times it was open."""
        return self._dropped + (0 if self._camera is None else self._camera.dropped)

    def wake(self) -> None:
        """Begin to open it, unless it is awake."""
        if self._asleep:
            self._asleep = False
            self._failures = 0
            self._retry_at = self._now()

    def change(self, other: Camera | None) -> None:
        """Follow that one from the next frame on, which is open; None: open it anew. Any thread."""
        self._others.put(other)

    def sleep(self) -> None:
        """Close it; from now on a failure to open it is retried, not raised. Nothing where it is asleep."""
        self._take_others()
        if self._camera is not None or not self._patient:
            log.info("nobody looks: the camera is closed until somebody does")
        self._patient = True
        self._free()

    def latest(self, timeout: float) -> Frame | None:
        """The newest frame not handed out yet; None when none came within `timeout` seconds.

        Raises CameraError where it does not open the first time, unless patient, and what `Camera.latest`
        raises.
        """
        self._take_others()
        if self._camera is None:
            self._open(timeout)
            return None
        return self._camera.latest(timeout)

    def close(self) -> None:
        """Free the camera for good."""
        self._take_others()
        self._free()
        self._executor.shutdown(wait=False)

    def _take_others(self) -> None:
        while not self._others.empty():
            asleep, before, other = self._asleep, self._camera, self._others.get()
            self._camera = None
            self._free()
            if before is not None:
                self._dropped += before.dropped
                self._executor.submit(before.close)  # may wait for its driver; what is opened next waits too
            if asleep and other is not None:
                other.close()
            elif not asleep:
                self.wake()
                self._camera, self._patient = other, True

    def _free(self) -> None:
        self._asleep = True
        self._refusal = ""
        if self._opening is not None:
            self._opening.add_done_callback(_close_unused)
            self._opening = None
        if self._camera is not None:
            self._camera.close()
            self._dropped += self._camera.dropped
            self._camera = None

    def _open(self, timeout: float) -> None:
        """Go on opening it, for so many seconds; the rest goes on meanwhile."""
        if self._opening is None and not self._asleep and self._now() >= self._retry_at:
            self._opening = self._executor.submit(self._opener)
        if self._opening is None:
            time.sleep(timeout)
            return
        wait([self._opening], timeout)
        if not self._opening.done():
            return
        opening, self._opening = self._opening, None
        try:
            self._camera = opening.result()
        except CameraError as error:
            if not self._patient:
                raise
            self._try_later(error)
        else:
            self._patient = True
            if self._refusal:
                log.info("camera: it opens now")
            self._refusal = ""

    def _try_later(self, error: CameraError) -> None:
        if self._failures == 0:
            log.warning("%s; the target idles, and it is tried again", error)
        self._refusal = str(error)
        self._retry_at = self._now() + BACK_OFF[min(self._failures, len(BACK_OFF) - 1)]
        self._failures += 1


def _close_unused(opening: Future[Camera]) -> None:
    if opening.exception() is None:
        opening.result().close()
