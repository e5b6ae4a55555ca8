"""Composition root: builds everything, runs it, and stops it in reverse."""

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path

from xpcam.camera.opening import Camera, VideoFile, open_camera, read_video
from xpcam.camera.spec import table_of
from xpcam.contact_sheet import ContactSheet, contact_sheet_at
from xpcam.contracts import FACE_DETECTOR, FACE_PARAMS
from xpcam.frame import FaceParams, Pixels
from xpcam.inference.engine import Contract, Engine
from xpcam.inspect import Inspection, inspect
from xpcam.pacing import Slots
from xpcam.pipeline import Meter, Pipeline, RunReport, publish
from xpcam.progress import Bar, Progress, no_bar, unseen
from xpcam.rendering.renderer import Look
from xpcam.resources import shipped
from xpcam.retargeting.neutral import FIRST_SECONDS
from xpcam.retargeting.parameter_file import ParameterFile
from xpcam.retargeting.retargeter import Gains
from xpcam.settings import Settings
from xpcam.signals import call_on_signal, stop_on_signals
from xpcam.target.loading import load_target
from xpcam.target.still import load_picture, the_face
from xpcam.tracking.tracker import FaceTracker
from xpcam.virtual_camera import VirtualCamera, open_output

log = logging.getLogger(__name__)

GONE_AFTER = 0.5  # seconds without a camera frame after which the target idles
LOOK_AHEAD = 30.0  # seconds of a driver video in which a first face is looked for


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


def run_live(settings: Settings, bar: Bar = no_bar) -> RunReport:
    """Follow a camera and publish the target until told to stop, or until a file that plays once ends.

    The output shows the idling target before the camera is even opened, and whenever there is no face.

    Raises:
        TargetError, OutputError, CameraError, EngineError: what could not be opened; or an output that broke.
    """
    meter = Meter()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        table = table_of(settings.camera)
        driver = None if table is None else ParameterFile(table)
        with bar("reading the target") as progress:
            pipeline = open_pipeline(settings, stack, meter, progress)
        output = stack.enter_context(
            closing(open_output(settings.output, size=settings.size, fps=settings.fps))
        )
        log.info("output: %s", output.description)
        stack.enter_context(call_on_signal("SIGUSR1", pipeline.relearn))
        stack.enter_context(call_on_signal("SIGUSR2", pipeline.show_next))
        if driver is not None:
            _perform(settings, driver, output, pipeline, stop)
            return meter.report()
        camera = _open_while_idling(settings, output, pipeline, stop)
        meter.begin()
        if camera is None:
            return meter.report()
        stack.enter_context(closing(camera))
        settings.require_shareable(camera.description, camera.shareable)
        sheet = stack.enter_context(contact_sheet_at(settings.contact_sheet))
        _follow(settings, camera, output, pipeline, sheet, stop)
        report = meter.report(camera.dropped)
    return report  # noqa: RET504 - to mypy, an ExitStack might have swallowed an error


def _open_while_idling(
    settings: Settings, output: VirtualCamera, pipeline: Pipeline, stop: threading.Event
) -> Camera | None:
    """Open the camera, which can take seconds; who watches the output sees the idling target meanwhile.

    None when told to stop before it was open. Raises CameraError.
    """
    executor = ThreadPoolExecutor(1, "open-camera")
    opening = executor.submit(
        open_camera, settings.camera, size=settings.size, fps=settings.fps, loop=settings.loop
    )
    executor.shutdown(wait=False)
    slots = Slots(settings.fps)
    while True:
        if output.watched:
            publish(output, pipeline.step(None, time.monotonic()), pipeline.meter)
        slots.take()
        wait([opening], timeout=slots.until_open())
        if opening.done():
            return opening.result()
        if stop.is_set():
            opening.add_done_callback(_close_unused)
            return None


def _close_unused(opening: Future[Camera]) -> None:
    if opening.exception() is None:
        opening.result().close()


def _follow(
    settings: Settings,
    camera: Camera,
    output: VirtualCamera,
    pipeline: Pipeline,
    sheet: ContactSheet | None,
    stop: threading.Event,
) -> None:
    slots, meter = Slots(settings.fps), pipeline.meter
    began = seen = time.monotonic()
    pixels: Pixels | None = None
    while not stop.wait(slots.until_open()):
        frame = camera.latest(slots.until_closed())
        now = time.monotonic()
        if (frame is None and camera.finished) or _enough(settings, meter, now - began):
            break
        if frame is not None:
            seen = now
            pixels = pipeline.step(frame, frame.captured_at)
        elif pixels is None or now - seen > GONE_AFTER:
            pixels = pipeline.step(None, now)
        arrived = None if frame is None else frame.captured_at + frame.decode_seconds
        publish(output, pixels, meter, slots.take(arrived))
        if frame is not None:
            meter.delivered(frame)
            if sheet is not None:
                sheet.add(frame.pixels, pixels)
    if slots.missed:
        log.info("%d pictures came too late for --fps %d and were left out", slots.missed, settings.fps)


def _perform(
    settings: Settings, table: ParameterFile, output: VirtualCamera, pipeline: Pipeline, stop: threading.Event
) -> None:
    """Publish the target doing what a file says, at its own times, once or again and again."""
    log.info("camera: %s", table.description)
    slots, meter = Slots(settings.fps), pipeline.meter
    meter.begin()
    began = time.monotonic()
    while not stop.wait(slots.until_open()):
        now = time.monotonic()
        at = now - began
        if (at >= table.duration and not settings.loop) or _enough(settings, meter, at):
            break
        publish(output, pipeline.follow(table.motion(at % table.duration), now), meter, slots.take())
        meter.generated += 1


def _enough(settings: Settings, meter: Meter, seconds: float) -> bool:
    return 0 < settings.seconds <= seconds or 0 < settings.frames <= meter.published


def render_video(settings: Settings, driver: Path, output: Path, progress: Progress) -> RunReport:
    """Make a video of the target following a driver video: each of its frames gives one, its sound is kept.

    The neutral face is learned from the first second with a face before anything is rendered.

    Raises:
        TargetError, CameraError, OutputError, EngineError: what could not be opened, read or written.
    """
    meter = Meter()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        video = stack.enter_context(read_video(driver))
        pipeline = open_pipeline(settings, stack, meter, progress)
        _learn_neutral(pipeline, video)
        writer = stack.enter_context(
            closing(open_output(str(output), size=settings.size, fps=video.fps, audio_from=driver))
        )
        sheet = stack.enter_context(contact_sheet_at(settings.contact_sheet))
        meter.begin()
        first: float | None = None
        for frame in video:
            first = frame.captured_at if first is None else first
            at = frame.captured_at - first
            if stop.is_set() or _enough(settings, meter, at):
                break
            pixels = pipeline.step(frame, frame.captured_at)
            publish(writer, pixels, meter, at)
            meter.generated += 1
            if sheet is not None:
                sheet.add(frame.pixels, pixels)
            progress(meter.generated, video.frame_count)
        report = meter.report()
    return report  # noqa: RET504 - to mypy, an ExitStack might have swallowed an error


def render_table(settings: Settings, table: Path, output: Path, progress: Progress) -> RunReport:
    """Make a video of the target doing what a file of blend shapes says, one frame for each of its rows.

    Raises:
        TargetError, CameraError, OutputError, EngineError: what could not be opened, read or written.
    """
    meter = Meter()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        driver = ParameterFile(table)
        pipeline = open_pipeline(settings, stack, meter)
        pipeline.enter()
        writer = stack.enter_context(closing(open_output(str(output), size=settings.size, fps=driver.rate)))
        count = round(driver.duration * driver.rate)
        meter.begin()
        for index in range(count):
            at = index / driver.rate
            if stop.is_set() or _enough(settings, meter, at):
                break
            publish(writer, pipeline.follow(driver.motion(at), at), meter, at)
            meter.generated += 1
            progress(meter.generated, count)
        report = meter.report()
    return report  # noqa: RET504 - to mypy, an ExitStack might have swallowed an error


def track_video(
    settings: Settings, path: Path, progress: Progress
) -> Iterator[tuple[float, FaceParams | None]]:
    """Track every frame of a video: its time in seconds, and its face or None.

    Raises:
        CameraError, EngineError: what could not be opened or read.
    """
    with read_video(path) as video, open_tracker(settings, hold=0, search_every=1) as tracker:
        for done, frame in enumerate(video, start=1):
            yield frame.captured_at, tracker.track(frame)
            progress(done, video.frame_count)


def inspect_picture(settings: Settings, path: Path) -> Inspection:
    """Fit the 3D face model to the face in a picture.

    Raises:
        TargetError, EngineError: no picture, not one face in it; an engine that does not work.
    """
    picture = load_picture(path)
    with open_tracker(settings) as tracker:
        return inspect(picture, the_face(path, tracker.locate(picture)))


def _learn_neutral(pipeline: Pipeline, video: VideoFile) -> None:
    """Show the pipeline the first second that has a face, looking for one through the first half minute."""
    found: float | None = None
    first: float | None = None
    for frame in video:
        first = frame.captured_at if first is None else first
        if pipeline.learn(frame) and found is None:
            found = frame.captured_at
        if frame.captured_at > (first + LOOK_AHEAD if found is None else found + FIRST_SECONDS):
            break
    pipeline.rewind()
