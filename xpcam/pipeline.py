"""The one file that knows the order: camera frame -> tracking -> retargeting -> rendering -> output.

Camera pixels end in the tracker: what is rendered is made from the target's picture and numbers alone.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.rendering.animated_target import AnimatedTarget
from xpcam.rendering.renderer import LOOK, Look
from xpcam.rendering.target_switch import TargetSwitch
from xpcam.retargeting.idling import Presence
from xpcam.retargeting.neutral import NeutralFinder
from xpcam.retargeting.retargeter import Gains, Motion, mirrored, observe
from xpcam.target.loading import AnyTarget
from xpcam.virtual_camera import VirtualCamera

log = logging.getLogger(__name__)

STAGES = ("decode", "track", "retarget", "render", "convert", "write")
FORGOTTEN_AFTER = 5.0  # seconds without a face after which its neutral is learned anew
REMEMBERED = 4096  # measurements kept of each kind: a service runs for weeks


class Tracker(Protocol):
    """Frame -> FaceParams, None where there is no face (`xpcam.tracking.FaceTracker`, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...

    def reset(self) -> None: ...


@dataclass(frozen=True, slots=True)
class RunReport:
    """What a run did, in honest numbers.

    Attributes:
        frames_generated: pictures made from a new camera frame.
        frames_published: pictures the output was given, repeats and idle ones included.
        dropped: camera frames that were overtaken by a newer one.
        seconds: length of the run.
        fps: generated pictures per second of the run.
        latency_p50_ms, latency_p95_ms: from the camera's delivery to the output's, generated frames only.
        stages_ms: median milliseconds of each stage.
        rss_mb: resident memory at the end.
        asleep: seconds of the run in which nobody looked and nothing was done; `fps` leaves them out.
    """

    frames_generated: int
    frames_published: int
    dropped: int
    seconds: float
    fps: float
    latency_p50_ms: float
    latency_p95_ms: float
    stages_ms: dict[str, float]
    rss_mb: float
    asleep: float = 0.0

    def __str__(self) -> str:
        stages = ", ".join(f"{name} {value:.1f}" for name, value in self.stages_ms.items())
        counts = (
            f"{self.frames_generated} frames generated in {self.seconds:.1f} s: {self.fps:.1f} per second; "
            f"{self.frames_published} published, {self.dropped} camera frames dropped"
        )
        if self.asleep:
            counts += f", asleep for {self.asleep:.1f} s"
        latency = f"{self.latency_p50_ms:.1f} ms median, {self.latency_p95_ms:.1f} ms p95"
        memory = f"memory {self.rss_mb:.0f} MB; stages in ms: {stages}"
        if self.latency_p95_ms == 0:  # an offline rendering has none
            return f"{counts}\n{memory}"
        return f"{counts}\nlatency camera to output: {latency}\n{memory}"


@dataclass(slots=True)
class Meter:
    """Counts and times a run."""

    generated: int = 0
    published: int = 0
    asleep: float = 0.0
    _began: float = field(default_factory=time.monotonic)
    _latency: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _stages: dict[str, deque[float]] = field(
        default_factory=lambda: {name: deque(maxlen=REMEMBERED) for name in STAGES}
    )

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage of one frame."""
        began = time.perf_counter()
        yield
        self.add(name, time.perf_counter() - began)

    def begin(self) -> None:
        """Start counting now: what came before was preparation."""
        self.generated = self.published = 0
        self.asleep = 0.0
        self._began = time.monotonic()
        for times in (self._latency, *self._stages.values()):
            times.clear()

    def add(self, name: str, seconds: float) -> None:
        self._stages[name].append(seconds)

    def delivered(self, frame: Frame) -> None:
        """A picture made from `frame` has just reached the output."""
        self.generated += 1
        self._latency.append(time.monotonic() - frame.captured_at)

    def report(self, dropped: int = 0) -> RunReport:
        seconds = time.monotonic() - self._began
        p50, p95 = np.percentile(self._latency, (50, 95)) * 1e3 if self._latency else (0.0, 0.0)
        stages = {
            name: float(np.median(times)) * 1e3 if times else 0.0 for name, times in self._stages.items()
        }
        awake = seconds - self.asleep
        fps = self.generated / awake if awake > 0 else 0.0
        return RunReport(
            self.generated,
            self.published,
            dropped,
            seconds,
            fps,
            float(p50),
            float(p95),
            stages,
            resident_mb(),
            self.asleep,
        )


class Pipeline:
    """Makes the target follow one person.

    Args:
        target: the prepared target, or several.
        tracker: finds and follows the face.
        gains: how much of each region is carried over.
        mirror: exchange left and right.
        look: how the target is drawn.
        by_parameters: carry over blend shapes and most of the rest (`retargeting.transfer`), not points.
        meter: times the stages; one of its own by default.
    """

    def __init__(
        self,
        target: AnyTarget,
        tracker: Tracker,
        gains: Gains,
        *,
        mirror: bool = False,
        look: Look = LOOK,
        by_parameters: bool = False,
        meter: Meter | None = None,
    ) -> None:
        self.meter = meter or Meter()
        self._tracker = tracker
        self._mirror = mirror
        self._by_parameters = by_parameters
        self._neutral = NeutralFinder()
        self._presence = Presence()
        self._targets = TargetSwitch(target, gains, look)
        self._engine_failed = False
        self._seen_at = -np.inf
        self._relearn = False

    def step(self, frame: Frame | None, at: float) -> Pixels:
        """The picture for `at` seconds: following the face in `frame`, idling when there is none.

        The picture stays as it is for two further calls; the renderer owns it.
        """
        if frame is None:
            self._tracker.reset()
        person = self._track(frame) if frame is not None else None
        with self.meter.stage("retarget"):
            animated, params = self._act(self._observe(person, at), at)
        with self.meter.stage("render"):
            return animated.render(params)

    def follow(self, motion: Motion | None, at: float) -> Pixels:
        """The picture for `at` seconds of a target that makes `motion`, or idles where there is none."""
        with self.meter.stage("retarget"):
            animated, params = self._act(motion, at)
        with self.meter.stage("render"):
            return animated.render(params)

    def show(self, index: int) -> None:
        """Change to a target of a folder, counted from 0 by name; callable from a signal handler.

        It is prepared in a thread, and shown when it is ready. Raises IndexError where there is none.
        """
        self._targets.show(index)

    def show_next(self) -> None:
        """Change to the next target of a folder; callable from a signal handler."""
        self._targets.show_next()

    def close(self) -> None:
        """Stop what works in the background."""
        self._targets.close()

    def relearn(self) -> None:
        """Learn the neutral face anew from the next frame on; callable from a signal handler."""
        self._relearn = True

    def enter(self) -> None:
        """Follow from the first frame on, with no easing in."""
        self._presence.enter()

    def learn(self, frame: Frame) -> bool:
        """Learn the neutral face from a frame that is not shown; whether there was a face to learn from."""
        person = self._track(frame)
        return person is not None and self._neutral.update(person, frame.captured_at) is not None

    def rewind(self) -> None:
        """Go back to before the first frame with what was learned, to follow from that frame on."""
        self._tracker.reset()
        if self._neutral.settle():
            self._presence.enter()
            self._seen_at = np.inf

    def _act(self, motion: Motion | None, at: float) -> tuple[AnimatedTarget, FaceParams]:
        if motion is not None and self._mirror:
            motion = mirrored(motion)
        animated = self._targets.current()
        motion = self._presence.motion(motion, at)
        return animated, animated.act(motion, self._presence.share, at)

    def _observe(self, person: FaceParams | None, at: float) -> Motion | None:
        if person is None:
            return None
        gone = at - self._seen_at > FORGOTTEN_AFTER  # whoever comes now may be somebody else
        if gone or self._relearn:
            self._neutral.forget()
            self._relearn = False
        self._seen_at = at
        neutral = self._neutral.update(person, at)
        return None if neutral is None else observe(person, neutral, self._by_parameters)

    def _track(self, frame: Frame) -> FaceParams | None:
        self.meter.add("decode", frame.decode_seconds)
        with self.meter.stage("track"):
            try:
                person = self._tracker.track(frame)
            except EngineError as error:
                if not self._engine_failed:
                    log.error("%s; the target idles meanwhile", error)
                self._engine_failed = True
                return None
        if self._engine_failed:
            log.info("the engine works again")
        self._engine_failed = False
        return person


def publish(output: VirtualCamera, pixels: Pixels, meter: Meter, at: float | None = None) -> None:
    """Convert a picture to the output's format and write it."""
    with meter.stage("convert"):
        buffer = output.convert(pixels)
    with meter.stage("write"):
        output.write(buffer, at)
    meter.published += 1


def resident_mb() -> float:
    """Resident memory of this process in megabytes (10^6 bytes); 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
