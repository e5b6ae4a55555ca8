"""Builds what a live run and an offline job share: the tracker, and the pipeline around a target."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

from xpcam.contracts import FACE_DETECTOR, FACE_PARAMS
from xpcam.inference.engine import Contract, Engine
from xpcam.pipeline import Meter, Pipeline
from xpcam.progress import Progress, unseen
from xpcam.rendering.renderer import Look
from xpcam.resources import shipped
from xpcam.retargeting.retargeter import Gains
from xpcam.settings import Settings
from xpcam.target.loading import load_target
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
        yield FaceTracker(landmarks, detector, smooth=settings.smoothing, **patience)


def open_pipeline(
    settings: Settings, stack: ExitStack, meter: Meter, progress: Progress = unseen
) -> Pipeline:
    """A pipeline for the settings' target; its engines close with the stack."""
    tracker = stack.enter_context(open_tracker(settings))
    unsteadied = settings.model_copy(update={"smoothing": False})
    reader = partial(open_tracker, unsteadied, hold=0, search_every=1)
    prepared = load_target(settings.require_target(), settings.size, tracker, reader, progress)
    gains = Gains(settings.mouth, settings.eyes, settings.brows, settings.head, settings.gaze)
    look = Look(settings.relight, settings.interior)
    pipeline = Pipeline(
        prepared,
        tracker,
        gains,
        mirror=settings.mirror,
        look=look,
        by_parameters=settings.transfer == "parameters",
        meter=meter,
    )
    stack.callback(pipeline.close)
    return pipeline


def enough(settings: Settings, meter: Meter, seconds: float) -> bool:
    """Whether a run of so many seconds has reached --seconds or --frames."""
    return 0 < settings.seconds <= seconds or 0 < settings.frames <= meter.published
