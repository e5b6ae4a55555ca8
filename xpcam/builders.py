"""Builds what a live run and an offline job share: the tracker, and the pipeline around a target."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial

from xpcam.contracts import FACE_DETECTOR, FACE_PARAMS
from xpcam.governor import Governor
from xpcam.inference.engine import Contract, Engine, Running
from xpcam.meter import Meter
from xpcam.mouth.engine import MouthEngine
from xpcam.pipeline import Pipeline
from xpcam.progress import Progress, unseen
from xpcam.rendering.renderer import Look
from xpcam.rendering.target_switch import Animate, animate
from xpcam.resources import shipped
from xpcam.retargeting.profile import load_profile
from xpcam.settings import Settings
from xpcam.steering import MESH_ONLY, Steering, gains_of, look_of
from xpcam.target_loader import TargetLoader
from xpcam.tracking.reloading import ReloadingTracker
from xpcam.tracking.tracker import FaceTracker
from xpcam.x2face import animated
from xpcam.x2face.driving import Driving
from xpcam.x2face.embedding import Embedder
from xpcam.x2face.opening import model_of, open_network

log = logging.getLogger(__name__)


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


def embedder_of(settings: Settings) -> Embedder:
    """Embeds targets' faces; its network is loaded only for a face that was not embedded before."""
    backbone, device, threads = settings.backbone, settings.device, settings.threads
    return Embedder(
        model_of("embedding", backbone), lambda: open_network("embedding", backbone, device, threads)
    )


def open_driving(settings: Settings, stack: ExitStack) -> Driving | None:
    """The driving network of a run with the X2Face engine; it closes with the stack."""
    if settings.engine == "mesh":
        return None
    where = settings.backbone, settings.device, settings.threads
    return stack.enter_context(Driving(lambda: open_network("driving", *where)))


def animate_of(settings: Settings, driving: Driving | None) -> Animate:
    """Brings targets to play: with X2Face where there is a driving network."""
    if driving is None:
        return animate
    embedder = embedder_of(settings)
    return lambda target, gains, look: animated.animate(target, gains, look, embedder, driving)


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
    check_engine(settings)
    tracker = stack.enter_context(ReloadingTracker(partial(open_tracker, settings)))
    prepared = open_loader(settings).load(settings.require_target(), progress, tracker)
    look, driving = open_look(settings, stack), open_driving(settings, stack)
    pipeline = Pipeline(
        prepared,
        tracker,
        gains_of(settings),
        mirror=settings.mirror,
        look=look,
        by_parameters=settings.transfer == "parameters",
        neutral=load_profile(settings.profile) if settings.profile else None,
        meter=meter,
        animate=animate_of(settings, driving),
    )
    pipeline.engines = lambda: with_drawing(tracker.engines, look, driving)
    stack.callback(pipeline.close)
    return pipeline


def open_look(settings: Settings, stack: ExitStack) -> Look:
    """How targets are drawn, with the mouth engine where it is asked for; it closes with the stack."""
    look = look_of(settings)
    if settings.engine != "mesh":
        return look
    engine = MouthEngine(shipped("mouth.onnx"), device=settings.device, threads=settings.threads)
    stack.callback(engine.close)
    return replace(look, engine=engine)


def with_drawing(engines: Mapping[str, str], look: Look, driving: Driving | None) -> Mapping[str, str]:
    """Where engines run, those that draw the target among them."""
    drawing = (look.engine and look.engine.engine, driving and driving.network)
    for engine in drawing:
        if isinstance(engine, Engine) and isinstance(engines, Running):
            engines = engines.beside(engine)
    return engines


def check_engine(settings: Settings) -> None:
    """Say which settings were given that mean nothing to the engine."""
    given = sorted(settings.model_fields_set & set(MESH_ONLY))
    if given and settings.engine == "x2face":
        log.warning("%s: of no use to --engine x2face", ", ".join(given))


def enough(settings: Settings, meter: Meter, seconds: float) -> bool:
    """Whether a run of so many seconds has reached --seconds or --frames."""
    return 0 < settings.seconds <= seconds or 0 < settings.frames <= meter.published
