"""The one file that knows the order: camera frame -> tracking -> retargeting -> rendering -> output.

Camera pixels end in the tracker: what is rendered is made from the target's picture and numbers alone.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.meter import Meter
from xpcam.mouth.seen import MouthSeen
from xpcam.rendering.renderer import LOOK, Look
from xpcam.rendering.target_switch import Animate, OnAir, TargetSwitch, animate
from xpcam.retargeting.between import Between
from xpcam.retargeting.idling import Presence
from xpcam.retargeting.neutral import Neutral, NeutralFinder
from xpcam.retargeting.retargeter import Gains, Motion, mirrored, observe
from xpcam.target.loading import AnyTarget
from xpcam.tracking.absence import Absence
from xpcam.virtual_camera import VirtualCamera

log = logging.getLogger(__name__)

FORGOTTEN_AFTER = 5.0  # seconds without a face after which its neutral is learned anew


class Tracker(Protocol):
    """Frame -> FaceParams, None where there is no face (`xpcam.tracking.FaceTracker`, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...

    def reset(self) -> None: ...


class Watcher(Protocol):
    """Is shown each frame with the face in it, None where there is none; keeps no picture."""

    def see(self, frame: Frame, person: FaceParams | None) -> None: ...


class Pipeline:
    """Makes the target follow one person.

    Args:
        target: the prepared target, or several.
        tracker: finds and follows the face.
        gains: how much of each region is carried over.
        mirror: exchange left and right.
        look: how the target is drawn.
        by_parameters: carry over blend shapes and most of the rest (`retargeting.transfer`), not points.
        neutral: the person's neutral face where it is known; its head's pose is learned all the same.
        meter: times the stages; one of its own by default.
        animate: brings targets to play; the mesh engine by default.

    Attributes:
        targets: takes what is to be shown next, from any thread.
        watcher: sees what is tracked; None: nobody does.
        following: whether the last picture followed a face.
        engines: says on which device each engine really runs, where that is known.
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
        neutral: Neutral | None = None,
        meter: Meter | None = None,
        animate: Animate = animate,
    ) -> None:
        self.meter = meter or Meter()
        self.targets = TargetSwitch(
            OnAir.of(
                target,
                gains,
                look,
                mirror=mirror,
                by_parameters=by_parameters,
                neutral=neutral,
                animate=animate,
            )
        )
        self.watcher: Watcher | None = None
        self.following = False
        self.engines: Callable[[], Mapping[str, str]] = dict
        self._tracker = tracker
        self._neutral = NeutralFinder()
        self._known = neutral
        self._presence = Presence()
        self._absence = Absence()
        self._between = Between()
        self._mouth_seen = MouthSeen()
        self._engine_fault = ""
        self._seen_at = -np.inf
        self._relearn = False

    @property
    def faults(self) -> dict[str, str]:
        """What does not work though there are frames: lines by "engines" and "face"; any thread."""
        drawing = self.targets.latest.animated.fault
        found = {"engines": self._engine_fault or drawing, "face": self._absence.fault}
        return {part: fault for part, fault in found.items() if fault}

    def step(self, frame: Frame | None, at: float) -> Pixels:
        """The picture for `at` seconds: following the face in `frame`, idling when there is none.

        The picture stays as it is for two further calls; the renderer owns it.
        """
        live = self.targets.current()
        if frame is None:
            self._tracker.reset()
            self._absence.forget()
            self._between.reset()
        else:
            self.meter.add("decode", frame.decode_seconds)
        wanted = frame is not None and self._between.wants(live.track_every)
        person = self._track(frame, live.look) if frame is not None and wanted else None
        with self.meter.stage("retarget"):
            if wanted:
                self._between.take(self._observe(live, person, at))
            params = self._act(live, self._between.motion(live.track_every), at)
        with self.meter.stage("render"):
            return live.animated.render(params)

    def follow(self, motion: Motion | None, at: float) -> Pixels:
        """The picture for `at` seconds of a target that makes `motion`, or idles where there is none."""
        live = self.targets.current()
        with self.meter.stage("retarget"):
            params = self._act(live, motion, at)
        with self.meter.stage("render"):
            return live.animated.render(params)

    def close(self) -> None:
        """Stop what works in the background."""
        self.targets.close()

    def relearn(self) -> None:
        """Learn the neutral face anew from the next frame on; callable from a signal handler."""
        self._relearn = True

    def enter(self) -> None:
        """Follow from the first frame on, with no easing in."""
        self._presence.enter()

    def learn(self, frame: Frame) -> bool:
        """Learn the neutral face from a frame that is not shown; whether there was a face to learn from."""
        self.meter.add("decode", frame.decode_seconds)
        person = self._track(frame)
        return person is not None and self._neutral.update(person, frame.captured_at) is not None

    def rewind(self) -> None:
        """Go back to before the first frame with what was learned, to follow from that frame on."""
        self._tracker.reset()
        if self._neutral.settle():
            self._presence.enter()
            self._seen_at = np.inf

    def _act(self, live: OnAir, motion: Motion | None, at: float) -> FaceParams:
        self.following = motion is not None
        if motion is not None and live.mirror:
            motion = mirrored(motion)
        motion = self._presence.motion(motion, at)
        return live.animated.act(motion, self._presence.share, at)

    def _observe(self, live: OnAir, person: FaceParams | None, at: float) -> Motion | None:
        if person is None:
            return None
        gone = at - self._seen_at > FORGOTTEN_AFTER  # whoever comes now may be somebody else
        if gone or self._relearn or live.neutral is not self._known:
            self._neutral.forget()
            self._relearn, self._known = False, live.neutral
        self._seen_at = at
        neutral = self._neutral.update(person, at)
        if neutral is None:
            return None
        if live.neutral is not None:  # whose face it is stays; where it sits changes from day to day
            neutral = neutral.of(live.neutral)
        return observe(person, neutral, live.by_parameters)

    def _track(self, frame: Frame, look: Look | None = None) -> FaceParams | None:
        with self.meter.stage("track"):
            try:
                person = self._tracker.track(frame)
                if person is not None and look is not None and look.engine and look.interior == "on":
                    person = replace(person, shown=self._mouth_seen.of(frame.pixels, person))
            except EngineError as error:
                if not self._engine_fault:
                    log.error("%s; the target idles meanwhile", error)
                    self._engine_fault = str(error)
                self._absence.forget()
                return None
        if self._engine_fault:
            log.info("the engine works again")
        self._engine_fault = ""
        self._absence.see(frame, person)
        if person is None:
            self._mouth_seen.forget()
        if self.watcher is not None:
            self.watcher.see(frame, person)
        return person


def publish(output: VirtualCamera, pixels: Pixels, meter: Meter, at: float | None = None) -> None:
    """Convert a picture to the output's format and write it."""
    with meter.stage("convert"):
        buffer = output.convert(pixels)
    with meter.stage("write"):
        output.write(buffer, at)
    meter.given()
