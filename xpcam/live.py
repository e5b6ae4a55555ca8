"""A live run, picture by picture: follow a camera while somebody looks, sleep while nobody does."""

import logging
import threading
import time
from typing import Literal

from xpcam.builders import enough
from xpcam.camera.on_demand import CameraOnDemand
from xpcam.contact_sheet import ContactSheet
from xpcam.demand import Demand, Wanted
from xpcam.frame import Frame, Pixels
from xpcam.governor import Governor, Seen
from xpcam.pacing import Slots
from xpcam.pipeline import Pipeline, publish
from xpcam.retargeting.parameter_file import ParameterFile
from xpcam.service.notify import Heartbeat
from xpcam.settings import Settings
from xpcam.standstill import Standstill
from xpcam.virtual_camera import VirtualCamera

log = logging.getLogger(__name__)

GONE_AFTER = 0.5  # seconds without a camera frame after which the target idles
NAP = 0.05  # seconds between two looks for a reader while nothing is wanted
REFRESH = 1.0  # seconds between two pictures for an output that nobody looks at: drivers keep the last one


State = Literal["following", "idling", "asleep"]


class Live:
    """Publishes pictures until told to stop.

    Args:
        settings: the rate, and when it ends.
        output: where the pictures go.
        pipeline: what makes them.
        heart: told of every round of the loop.
        stop: ends the run.
        governor: is told how long each picture took; None: nobody keeps the rate.

    Attributes:
        state: what is being done: a face is followed, the target idles, or nothing is done.
        readers: how many programs looked when last asked; None where that cannot be known.
    """

    def __init__(
        self,
        settings: Settings,
        output: VirtualCamera,
        pipeline: Pipeline,
        heart: Heartbeat,
        stop: threading.Event,
        governor: Governor | None = None,
    ) -> None:
        self.governor = governor
        self._before: Seen | None = None
        self._worked = 0.0  # seconds that all pictures until the last one took
        self._settings = settings
        self._output = output
        self._pipeline = pipeline
        self._meter = pipeline.meter
        self._heart = heart
        self._stop = stop
        self._demand = Demand(self._count_readers, settings.idle_timeout)
        self._fps: float = settings.fps
        self._slots = Slots(self._fps)
        self._began = time.monotonic()
        self._counting = False
        self._pixels: Pixels | None = None  # what was shown last
        self._seen_at = -float("inf")  # when the camera gave a frame
        self.state: State = "idling"
        self.readers: int | None = None
        self._camera: CameraOnDemand | None = None
        self._late = 0
        self._standstill = Standstill()
        self._woken_at: float | None = None  # when somebody came, until the camera's first frame for them

    def follow(self, camera: CameraOnDemand, sheet: ContactSheet | None) -> None:
        """Follow a camera until stopped, or until a file that plays once ends.

        Who watches sees the idling target until the camera is open, and half a second after its frames stop.

        Raises:
            CameraError, OutputError, EngineError: what could not be opened at the start, or broke for good.
        """
        self._camera = camera
        if self._output.watched:
            self._publish(self._pipeline.step(None, self._began), None)
        while not self._over():
            wanted = self._demand.wanted()
            if wanted is Wanted.NOTHING:
                self._doze()
                continue
            if wanted is Wanted.LIVE:
                camera.wake()
            self._take_rate()
            self._stop.wait(self._slots.until_open())
            frame = camera.latest(self._slots.until_closed())
            if frame is None and camera.finished:
                break
            self._show(frame)
            self._beat()
            if frame is not None and self._pixels is not None and sheet is not None:
                sheet.add(frame.pixels, self._pixels)
        self._tell_missed()

    def perform(self, table: ParameterFile) -> None:
        """Publish the target doing what a file says, at its own times, once or again and again."""
        log.info("camera: %s", table.description)
        self._begin()
        while not self._over():
            if self._demand.wanted() is Wanted.NOTHING:
                self._doze()
                continue
            self._take_rate()
            self._stop.wait(self._slots.until_open())
            now = time.monotonic()
            at = now - self._began
            if at >= table.duration and not self._settings.loop:
                break
            self._worked = self._meter.worked
            pixels = self._pipeline.follow(table.motion(at % table.duration), now)
            publish(self._output, pixels, self._meter, self._slots.take())
            self._meter.made()
            self._tell_governor(now, None)
            self.state = "following"
            self._beat()
        self._tell_missed()

    def keep_rate(self, fps: float) -> None:
        """Publish so many pictures a second from the next one on; any thread."""
        self._fps = fps

    @property
    def dropped(self) -> int:
        """Camera frames that were overtaken by a newer one."""
        return 0 if self._camera is None else self._camera.dropped

    @property
    def late(self) -> int:
        """Slots that passed without a picture."""
        return self._late + self._slots.missed

    @property
    def faults(self) -> dict[str, str]:
        """What does not work now, a line for each part: camera, engines, face, output; any thread."""
        camera = "" if self._camera is None else self._camera.fault
        found = {"camera": camera, **self._pipeline.faults, "output": self._output.fault}
        return {part: fault for part, fault in found.items() if fault}

    @property
    def stood_still(self) -> float:
        """Seconds in which nothing went on, because the machine was suspended or this was held up."""
        return self._standstill.seconds

    def _count_readers(self) -> int | None:
        self.readers = self._output.readers()
        return self.readers

    def _show(self, frame: Frame | None) -> None:
        """Follow the frame; where there is none, repeat the last picture, or idle. A recording waits."""
        now = time.monotonic()
        if frame is not None:
            if not self._counting:
                self._begin()
            self._tell_awake()
            self._seen_at = now
            self._worked = self._meter.worked
            self._pixels = self._pipeline.step(frame, frame.captured_at)
        elif now - self._seen_at > GONE_AFTER and (self._output.watched or self._counting):
            self._pixels = self._pipeline.step(None, now)
        self._publish(self._pixels, frame)

    def _publish(self, pixels: Pixels | None, frame: Frame | None) -> None:
        """Show a picture in the slot that is open, if there is one: a recording waits for its first."""
        at = self._slots.take(None if frame is None else frame.captured_at + frame.decode_seconds)
        if pixels is None:
            return
        publish(self._output, pixels, self._meter, at)
        self.state = "following" if self._pipeline.following else "idling"
        if frame is not None:
            self._meter.delivered(frame)
            seen = Seen(frame.sequence, frame.captured_at)
            self._tell_governor(frame.captured_at, seen.period_since(self._before))
            self._before = seen

    def _tell_governor(self, at: float, period: float | None) -> None:
        """Tell the governor what the picture of `at` seconds took."""
        if self.governor is not None:
            self.governor.made(self._meter.worked - self._worked, at, period)

    def _doze(self) -> None:
        """Do nothing until somebody looks; the idling target stays on the output."""
        self._counting, self.state = True, "asleep"
        asleep = time.monotonic()
        pixels = self._pipeline.step(None, asleep)
        refreshed = -float("inf")
        while self._demand.wanted() is Wanted.NOTHING and not self._over():
            if self._camera is not None:
                self._camera.sleep()
            now = time.monotonic()
            if self._pipeline.targets.changed:
                pixels, refreshed = self._pipeline.step(None, now), -float("inf")
            if now - refreshed >= REFRESH:
                publish(self._output, pixels, self._meter)
                refreshed = now
            self._beat()
            self._stop.wait(NAP)
        self._meter.asleep += time.monotonic() - asleep
        self._begin_grid()
        self._pixels, self._seen_at = None, -float("inf")
        self._woken_at = time.monotonic()

    def _tell_awake(self) -> None:
        """The camera gives frames: say so once to who woke it."""
        if self._woken_at is not None:
            milliseconds = 1e3 * (time.monotonic() - self._woken_at)
            log.info("somebody looks: the camera's first frame came after %.0f ms", milliseconds)
            self._woken_at = None

    def _begin(self) -> None:
        """Start to count: what came before was preparation."""
        self._counting = True
        self._meter.begin()
        self._began = time.monotonic()
        self._slots = Slots(self._fps)

    def _take_rate(self) -> None:
        """Go over to the rate that was asked for last."""
        if self._slots.fps != self._fps:
            self._begin_grid()
            if self.governor is not None:
                self.governor.keep(self._fps)

    def _begin_grid(self) -> None:
        self._late += self._slots.missed
        self._slots = Slots(self._fps, self._slots)

    def _beat(self) -> None:
        self._standstill.look()
        self._heart.beat(self._meter.generated, self._meter.published, lambda: self.faults)

    def _over(self) -> bool:
        seconds = time.monotonic() - self._began
        if self._camera is not None and self._camera.opening:  # a run of few frames says, too, that it fails
            return self._stop.is_set() or 0 < self._settings.seconds <= seconds
        return self._stop.is_set() or enough(self._settings, self._meter, seconds)

    def _tell_missed(self) -> None:
        if self.late:
            log.info(
                "%d pictures came too late for --fps %g and were left out",
                self.late,
                self._fps,
            )
