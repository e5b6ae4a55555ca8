"""The jobs without a camera: make a video of the target, track a video, explain a picture."""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from xpcam.builders import enough, open_pipeline, open_tracker
from xpcam.camera.opening import VideoFile, read_video
from xpcam.contact_sheet import contact_sheet_at
from xpcam.frame import FaceParams
from xpcam.inspect import Inspection, inspect
from xpcam.meter import Meter, RunReport
from xpcam.pipeline import Pipeline, publish
from xpcam.progress import Progress
from xpcam.retargeting.neutral import FIRST_SECONDS
from xpcam.retargeting.parameter_file import ParameterFile
from xpcam.settings import Settings
from xpcam.signals import stop_on_signals
from xpcam.target.still import load_picture, the_face
from xpcam.virtual_camera import open_output

LOOK_AHEAD = 30.0  # seconds of a driver video in which a first face is looked for


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
            if stop.is_set() or enough(settings, meter, at):
                break
            pixels = pipeline.step(frame, frame.captured_at)
            publish(writer, pixels, meter, at)
            meter.made()
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
            if stop.is_set() or enough(settings, meter, at):
                break
            publish(writer, pipeline.follow(driver.motion(at), at), meter, at)
            meter.made()
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
