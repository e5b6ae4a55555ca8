"""Builds what a live run and an offline job share: the tracker, and the pipeline around a target."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from xpcam.contracts import FACE_DETECTOR, FACE_PARAMS
from xpcam.governor import Governor
from xpcam.inference.engine import Contract, Engine, Running
from xpcam.meter import Meter
from xpcam.pipeline import Pipeline
from xpcam.progress import Progress, unseen
from xpcam.resources import shipped
from xpcam.retargeting.profile import load_profile
from xpcam.settings import Settings
from xpcam.steering import Steering, gains_of, look_of
from xpcam.target_loader import TargetLoader
from xpcam.tracking.reloading import ReloadingTracker
from xpcam.tracking.tracker import FaceTracker


@contextmanager
def open_tracker(settings: Settings, **patience: int) -> Iterator[FaceTracker]:
    """The face tracker with its engines loaded and warm; `patience` is its `hold` and `search_every`."""

    def load(name: str, contract: Contract) -> Engine:
        return Engine(shipped(name), device=settings.device, threads=settings.threads, contract=contract)

    with (
        load("face_params.onnx", FACE_PARAMS) as landmarks,
        load("face_detector.onnx", FACE_DETECTOR) as detector,
    ):
        tracker = FaceTracker(landmarks, detector, smooth=settings.smoothing, **patience)
        tracker.engines = Running(landmarks, detector)
        yield tracker


def open_loader(settings: Settings) -> TargetLoader:
    """Reads targets for a run with these settings."""
    unsteadied = settings.model_copy(update={"smoothing": False})
    return TargetLoader(settings.size, partial(open_tracker, unsteadied, hold=0, search_every=1))


def open_steering(settings: Settings, pipeline: Pipeline, stack: ExitStack) -> Steering:
    """What changes a pipeline while it runs; ends with the stack."""
    steering = Steering(settings, pipeline.targets, open_loader(settings), pipeline.relearn)
    stack.callback(steering.close)
    return steering


def open_governor(settings: Settings, steering: Steering) -> Governor | None:
    """What keeps the rate of a live run, where the settings want that."""
    if not settings.governor:
        return None
    return Governor(settings.fps, lambda quality: steering.soon(partial(steering.spare, quality)))


def open_pipeline(
    settings: Settings, stack: ExitStack, meter: Meter, progress: Progress = unseen
) -> Pipeline:
    """A pipeline for the settings' target; its engines close with the stack."""
    tracker = stack.enter_context(ReloadingTracker(partial(open_tracker, settings)))
    prepared = open_loader(settings).load(settings.require_target(), progress, tracker)
    pipeline = Pipeline(
        prepared,
        tracker,
        gains_of(settings),
        mirror=settings.mirror,
        look=look_of(settings),
        by_parameters=settings.transfer == "parameters",
        neutral=load_profile(settings.profile) if settings.profile else None,
        meter=meter,
    )
    pipeline.engines = lambda: tracker.engines
    stack.callback(pipeline.close)
    return pipeline


def enough(settings: Settings, meter: Meter, seconds: float) -> bool:
    """Whether a run of so many seconds has reached --seconds or --frames."""
    return 0 < settings.seconds <= seconds or 0 < settings.frames <= meter.published
