"""Composition root of a live run: builds everything, runs it, and stops it in reverse."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing

from xpcam.builders import enough, open_pipeline
from xpcam.camera.opening import Camera, open_camera
from xpcam.camera.spec import table_of
from xpcam.contact_sheet import ContactSheet, contact_sheet_at
from xpcam.frame import Pixels
from xpcam.pacing import Slots
from xpcam.pipeline import Meter, Pipeline, RunReport, publish
from xpcam.progress import Bar, no_bar
from xpcam.retargeting.parameter_file import ParameterFile
from xpcam.service.notify import Heartbeat
from xpcam.settings import Settings
from xpcam.signals import call_on_signal, stop_on_signals
from xpcam.virtual_camera import VirtualCamera, open_output

log = logging.getLogger(__name__)

GONE_AFTER = 0.5  # seconds without a camera frame after which the target idles


def run_live(settings: Settings, bar: Bar = no_bar) -> RunReport:
    """Follow a camera and publish the target until told to stop, or until a file that plays once ends.

    The output shows the idling target before the camera is even opened, and whenever there is no face.

    Raises:
        TargetError, OutputError, CameraError, EngineError: what could not be opened; or an output that broke.
    """
    meter, heart = Meter(), Heartbeat()
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
        stack.callback(heart.stopping)
        stack.enter_context(call_on_signal("SIGUSR1", pipeline.relearn))
        stack.enter_context(call_on_signal("SIGUSR2", pipeline.show_next))
        if driver is not None:
            _perform(settings, driver, output, pipeline, heart, stop)
            return meter.report()
        camera = _open_while_idling(settings, output, pipeline, heart, stop)
        meter.begin()
        if camera is None:
            return meter.report()
        stack.enter_context(closing(camera))
        settings.require_shareable(camera.description, camera.shareable)
        sheet = stack.enter_context(contact_sheet_at(settings.contact_sheet))
        _follow(settings, camera, output, pipeline, heart, sheet, stop)
        report = meter.report(camera.dropped)
    return report  # noqa: RET504 - to mypy, an ExitStack might have swallowed an error


def _open_while_idling(
    settings: Settings, output: VirtualCamera, pipeline: Pipeline, heart: Heartbeat, stop: threading.Event
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
        heart.beat(pipeline.meter.generated, pipeline.meter.published)
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
    heart: Heartbeat,
    sheet: ContactSheet | None,
    stop: threading.Event,
) -> None:
    slots, meter = Slots(settings.fps), pipeline.meter
    began = seen = time.monotonic()
    pixels: Pixels | None = None
    while not stop.wait(slots.until_open()):
        frame = camera.latest(slots.until_closed())
        now = time.monotonic()
        if (frame is None and camera.finished) or enough(settings, meter, now - began):
            break
        if frame is not None:
            seen = now
            pixels = pipeline.step(frame, frame.captured_at)
        elif pixels is None or now - seen > GONE_AFTER:
            pixels = pipeline.step(None, now)
        arrived = None if frame is None else frame.captured_at + frame.decode_seconds
        publish(output, pixels, meter, slots.take(arrived))
        heart.beat(meter.generated, meter.published)
        if frame is not None:
            meter.delivered(frame)
            if sheet is not None:
                sheet.add(frame.pixels, pixels)
    if slots.missed:
        log.info("%d pictures came too late for --fps %d and were left out", slots.missed, settings.fps)


def _perform(
    settings: Settings,
    table: ParameterFile,
    output: VirtualCamera,
    pipeline: Pipeline,
    heart: Heartbeat,
    stop: threading.Event,
) -> None:
    """Publish the target doing what a file says, at its own times, once or again and again."""
    log.info("camera: %s", table.description)
    slots, meter = Slots(settings.fps), pipeline.meter
    meter.begin()
    began = time.monotonic()
    while not stop.wait(slots.until_open()):
        now = time.monotonic()
        at = now - began
        if (at >= table.duration and not settings.loop) or enough(settings, meter, at):
            break
        publish(output, pipeline.follow(table.motion(at % table.duration), now), meter, slots.take())
        meter.generated += 1
        heart.beat(meter.generated, meter.published)
