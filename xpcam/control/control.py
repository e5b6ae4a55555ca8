"""What the control API can ask of a run: how it is, and what it shall do. Any thread."""

import os
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from xpcam import __version__
from xpcam.control.metrics import metrics
from xpcam.control.models import Calibrated, Frames, Judged, Kept, Made, Rates, Status, Times
from xpcam.errors import ControlError
from xpcam.gallery.store import Store
from xpcam.governor import STEPS, Governor
from xpcam.inference.engine import reports_of
from xpcam.live import Live
from xpcam.meter import LATELY, Durations, resident_mb
from xpcam.pipeline import Pipeline
from xpcam.retargeting.calibration import Sampling
from xpcam.retargeting.profile import load_profile, save_profile
from xpcam.settings import Settings
from xpcam.steering import LIVE, Steering, spelled
from xpcam.virtual_camera import VirtualCamera


@dataclass(slots=True)
class Control:
    """A run, as the API sees it.

    Attributes:
        live: the frame loop.
        pipeline: what makes the pictures.
        output: where they go.
        steering: changes what is on air.
        store: the gallery.
        stop: ends the run.
    """

    live: Live
    pipeline: Pipeline
    output: VirtualCamera
    steering: Steering
    store: Store
    stop: threading.Event
    began: float = field(default_factory=time.monotonic)
    _calibrating: threading.Lock = field(default_factory=threading.Lock)

    def status(self) -> Status:
        """How the run is."""
        meter, settings = self.pipeline.meter, self.steering.settings
        engines = self.pipeline.engines()
        generated, published = meter.rates()
        frames = Frames(
            generated=meter.generated,
            published=meter.published,
            dropped=self.live.dropped,
            late=self.live.late,
        )
        return Status(
            name=settings.name,
            version=__version__,
            pid=os.getpid(),
            state=self.live.state,
            uptime_s=time.monotonic() - self.began,
            camera=settings.camera,
            output=self.output.description,
            readers=self.live.readers,
            size=settings.size,
            target=self.steering.target,
            neutral=self.steering.neutral,
            rates=Rates(generated=generated, published=published, wanted=float(settings.fps)),
            frames=frames,
            latency_ms=_times(meter.latency),
            stages_ms={name: _times(durations) for name, durations in meter.stages.items()},
            faults=self.live.faults,
            stood_still_s=self.live.stood_still,
            quality=_made(self.live.governor),
            engines=dict(engines),
            refused={one.name: dict(one.refusals) for one in reports_of(engines)},
            memory_mb=resident_mb(),
        )

    def settings(self) -> dict[str, object]:
        """The settings that change live, as they are now."""
        return _live(self.steering.settings)

    def change(self, values: dict[str, object]) -> dict[str, object]:
        """Change some of them, all at once."""
        return _live(self.steering.change(values))

    def gallery(self) -> list[Kept]:
        """The targets of the gallery, in order."""
        return [
            Kept(name=one.name, kind=one.kind, source=one.source, added=one.added)
            for one in self.store.entries()
        ]

    def thumbnail(self, name: str) -> Path:
        """A JPEG. Raises TargetError."""
        return self.store.get(name).thumbnail

    def calibrate(self, seconds: float, profile: str | None) -> Calibrated:
        """Look for so many seconds, and take the neutral face that is seen.

        Raises:
            ControlError: it is asleep, or calibrating already.
            CameraError: there was hardly a face.
            SettingsError: the profile cannot be kept.
        """
        if self.live.state == "asleep":
            raise ControlError("nobody looks, so the camera is closed: open the virtual camera first")
        if not self._calibrating.acquire(blocking=False):
            raise ControlError("a calibration is going on: wait for its end")
        try:
            sampling = Sampling()
            self.pipeline.watcher = sampling
            self.stop.wait(seconds)
        finally:
            self.pipeline.watcher = None
            self._calibrating.release()
        neutral, quality = sampling.result()
        if profile is not None:
            save_profile(profile, neutral)
        self.steering.take_neutral(neutral, profile or "calibrated")
        return Calibrated(quality={name: Judged(**asdict(one)) for name, one in quality.items()})

    def use_profile(self, name: str) -> None:
        """Take the neutral face of a profile. Raises SettingsError."""
        self.steering.take_neutral(load_profile(name), name)

    def metrics(self) -> str:
        """Prometheus' text."""
        return metrics(self.status(), self.pipeline.meter)


def _times(durations: Durations) -> Times:
    p50, p95 = durations.percentiles_ms(LATELY)
    return Times(p50=p50, p95=p95)


def _made(governor: Governor | None) -> Made | None:
    if governor is None:
        return None
    step, why = governor.state
    return Made(
        step=step, name=STEPS[step].name, why=why, changes=governor.changes, held_by_others=governor.held
    )


def _live(settings: Settings) -> dict[str, object]:
    return {name: spelled(getattr(settings, name)) for name in LIVE}
