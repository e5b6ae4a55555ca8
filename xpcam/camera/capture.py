"""The capture thread: reads a source, keeps its newest frame, and gets a lost source back.

Frames that nobody fetched before a newer one came are dropped and counted. A lost device or stream is
retried, waiting longer each time.
"""

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol

from xpcam.errors import CameraError
from xpcam.frame import Frame, Pixels

STALL = 2.0  # seconds without a picture after which a device counts as lost
BACK_OFF = (0.5, 1.0, 2.0)  # seconds between attempts to get it back; the last one repeats
LATE = 1.0  # seconds a file may lag behind its own clock before that clock is set anew

log = logging.getLogger(__name__)


class Camera(Protocol):
    """What the pipeline needs of any camera."""

    @property
    def description(self) -> str:
        """What was negotiated, such as "vivid (/dev/video0): 1280x720 MJPG at 30 fps"."""

    @property
    def live(self) -> bool:
        """False while the device is lost and being retried."""

    @property
    def fault(self) -> str:
        """Why it gives no pictures now, in a line; "" while it does."""

    @property
    def finished(self) -> bool:
        """True when a file that plays once has ended as it should; of one that broke off, `latest` tells."""

    @property
    def shareable(self) -> bool:
        """True when its pictures may be kept: of the demo or a file, never of who sits at a camera."""

    @property
    def dropped(self) -> int:
        """How many frames nobody fetched before a newer one came."""

    def latest(self, timeout: float) -> Frame | None:
        """The newest frame not handed out yet; None when none came within `timeout` seconds.

        Raises what ended the camera for good: CameraError for a file that breaks off.
        """

    def close(self) -> None:
        """Stop reading and free the device."""


@dataclass(frozen=True, slots=True)
class Grabbed:
    """What a source reads: (height, width, 3) BGR uint8, its cost, and its time.

    Attributes:
        due: when to show it, seconds on the source's own clock; None for a source that sets the pace itself.
        captured_at: `time.monotonic()` seconds when such a source delivered it; None: when it is shown.
    """

    pixels: Pixels
    decode_seconds: float
    due: float | None = None
    captured_at: float | None = None


class Source(Protocol):
    """Where pictures come from: the edge that tests fake."""

    @property
    def description(self) -> str:
        """What was negotiated."""

    def read(self) -> Grabbed | None:
        """Wait for the next picture; None at the end. Raises CameraError when it is lost."""

    def close(self) -> None:
        """Free it."""


class Clock:
    """Time as the capture thread knows it; tests put another in its place."""

    def now(self) -> float:
        """Seconds, as frames are stamped with."""
        return time.monotonic()

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        """Wait so long, or until told to stop; True when told."""
        return stop.wait(seconds)


class Capture:
    """A Camera: reads `source` in a thread once started, and `reopen`s it when it is lost."""

    def __init__(
        self,
        source: Source,
        reopen: Callable[[], Source] | None = None,
        clock: Clock | None = None,
        *,
        shareable: bool = False,
    ) -> None:
        """`reopen` is None for a source that does not come back (a file): its end is the end."""
        self.shareable = shareable
        self.description = source.description
        self._ended = False
        self.dropped = 0
        self._source = source
        self._reopen = reopen
        self._clock = clock or Clock()
        self._stop = threading.Event()
        self._arrival = threading.Condition()
        self._newest: Frame | None = None
        self._sequence = 0
        self._failure: Exception | None = None
        self._lost = False
        self._reason = ""
        self._stalled = False
        self._last_at = self._clock.now()
        self._zero: float | None = None  # when, on our clock, the source's own clock was 0
        self._thread = threading.Thread(target=self.run, name="camera", daemon=True)

    @property
    def finished(self) -> bool:
        """True when the source has ended as it should; otherwise `latest` raises what was wrong."""
        return self._ended and self._failure is None

    @property
    def live(self) -> bool:
        """False while the source is lost or silent."""
        return not self._lost and not self._silent()

    @property
    def fault(self) -> str:
        """Why there are no pictures now; "" while there are."""
        if self._lost:
            return self._reason
        return f"{self.description}: no picture for {STALL:g} s" if self._silent() else ""

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def latest(self, timeout: float) -> Frame | None:
        """The newest frame not handed out yet; None when none came in time, at once when all is over.

        Raises what ended the thread, once the last frame is handed out.
        """
        with self._arrival:
            self._arrival.wait_for(lambda: self._newest is not None or self._over(), timeout)
            frame, self._newest = self._newest, None
        if frame is None and self._failure is not None and not self._stop.is_set():
            raise self._failure
        if frame is None and not self._lost and not self._stalled and self._silent():
            self._stalled = True
            log.warning("camera: %s: no picture for %g s; waiting for it", self.description, STALL)
        return frame

    def close(self) -> None:
        """Stop the thread, which frees the source."""
        self._stop.set()
        with self._arrival:
            self._newest = None
            self._arrival.notify_all()
        if self._thread.is_alive():
            self._thread.join(STALL)  # a driver that hangs keeps its (daemon) thread

    def run(self) -> None:
        """Read until told to stop or until the source has ended; the body of the thread."""
        with ExitStack() as stack:
            stack.callback(self._announce_end)
            stack.push(self._keep)
            stack.callback(self._close_source)
            while not self._stop.is_set() and self._read_one():
                pass

    def _keep(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> bool:
        """Keep whatever ends the thread for `latest`, which raises it, with its traceback, to who waits."""
        if not isinstance(error, Exception):
            return False
        self._failure = error
        return True

    def _close_source(self) -> None:
        self._source.close()

    def _announce_end(self) -> None:
        with self._arrival:
            self._ended = not self._stop.is_set()
            self._arrival.notify_all()

    def _read_one(self) -> bool:
        """Read and show one picture, or get a lost source back; False at the end for good."""
        reason = "the stream ended"
        try:
            grabbed = self._source.read()
        except CameraError as error:
            if self._reopen is None:
                raise
            grabbed, reason = None, str(error)
        if self._stop.is_set():
            return False
        if grabbed is not None:
            self._show(grabbed)
        elif self._reopen is None:
            return False
        else:
            self._recover(reason, self._reopen)
        return True

    def _show(self, grabbed: Grabbed) -> None:
        captured_at = grabbed.captured_at
        if grabbed.due is not None:
            captured_at = self._wait_until(grabbed.due)
        if self._stop.is_set():
            return
        now = self._clock.now()
        captured_at = now if captured_at is None else captured_at
        with self._arrival:
            if self._newest is not None:
                self.dropped += 1
            self._newest = Frame(grabbed.pixels, self._sequence, captured_at, grabbed.decode_seconds)
            self._sequence += 1
            self._last_at = now
            self._arrival.notify_all()
        if self._stalled:
            self._stalled = False
            log.info("camera: %s: pictures again", self.description)

    def _wait_until(self, due: float) -> float:
        """Pace a source by its own clock, or stop waiting when told to; when it was due on our clock."""
        now = self._clock.now()
        if self._zero is None or now - (self._zero + due) > LATE:
            self._zero = now - due  # the first picture, or too late to catch up without a rush
        moment = self._zero + due
        if moment > now:
            self._clock.wait(self._stop, moment - now)
        return moment

    def _recover(self, reason: str, reopen: Callable[[], Source]) -> None:
        self._reason = reason
        self._lost = True
        self._zero = None
        self._source.close()
        log.warning("camera: %s; trying to get it back", reason)
        attempt = 0
        while not self._clock.wait(self._stop, BACK_OFF[min(attempt, len(BACK_OFF) - 1)]):
            attempt += 1
            try:
                self._source = reopen()
            except CameraError as error:
                self._reason = str(error)
                log.debug("camera: attempt %d: %s", attempt, error)
                continue
            self.description = self._source.description
            self._last_at = self._clock.now()
            self._lost = self._stalled = False
            log.info("camera: back: %s", self.description)
            return

    def _silent(self) -> bool:
        return self._reopen is not None and not self._over() and self._clock.now() - self._last_at > STALL

    def _over(self) -> bool:
        return self._ended or self._stop.is_set()
