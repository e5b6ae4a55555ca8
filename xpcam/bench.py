"""`xpcam bench`: the whole chain on the demo driver at full speed, beside a fixed baseline.

Absolute times mean little from machine to machine. `ratio` is one frame's time over the time of a fixed
computation made in the same run, and that can be compared.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from xpcam.builders import open_pipeline
from xpcam.camera.opening import VideoFile, read_video
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import Floats, Frame, Pixels
from xpcam.inference.engine import EngineReport, reports_of
from xpcam.meter import Meter, RunReport
from xpcam.pipeline import Pipeline, publish
from xpcam.resources import shipped
from xpcam.retargeting.retargeter import STILL, Motion
from xpcam.settings import Settings
from xpcam.virtual_camera import VirtualCamera, open_output
from xpcam.x2face.opening import open_network
from xpcam.x2face.timing import Saving, saving

SECONDS: Final = 10.0
"""How long to measure where `--seconds` is not given."""
LEARNING: Final = 2.0
"""Seconds of the driver shown beforehand, for the neutral face."""
WARM_UP: Final = 1.0
OPEN_SHARE: Final = 1 / 3
"""How long the wide-open mouth is shown, in shares of the rest."""
BASELINE_EVERY: Final = 10
"""Frames between two runs of the baseline, so that both see the same machine; its time is not counted."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured; the field names are the keys of `--json`.

    Attributes:
        fps: frames a second, every stage one after the other, decoding included.
        latency_ms: p50 and p95 of a frame's time, from before it is decoded until it is written.
        stages_ms: median of each stage; they share `fps`.
        mouth_open_fps: the same while the target's mouth is wide open in every frame, its head turned; None
            for x2face, which takes as long for every face.
        rss_mb: resident memory, megabytes (10^6 bytes).
        baseline_ms: median time of the fixed computation.
        ratio: time per frame over `baseline_ms`.
        engines: what really ran each engine, and why nothing faster did.
        x2face: what embedding a face beforehand saves, with that engine.
    """

    fps: float
    latency_ms: dict[str, float]
    stages_ms: dict[str, float]
    mouth_open_fps: float | None
    rss_mb: float
    baseline_ms: float
    ratio: float
    engines: tuple[EngineReport, ...] = ()
    x2face: Saving | None = None

    def as_dict(self) -> dict[str, Any]:
        """The same as plain numbers, for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        rows = [
            ("frames per second", self.fps, ""),
            *([] if self.mouth_open_fps is None else [("  mouth wide open", self.mouth_open_fps, "")]),
            ("latency p50", self.latency_ms["p50"], "ms"),
            ("latency p95", self.latency_ms["p95"], "ms"),
            *((f"  {stage}", value, "ms") for stage, value in self.stages_ms.items()),
            ("memory", self.rss_mb, "MB"),
            ("baseline", self.baseline_ms, "ms"),
            ("frame / baseline", self.ratio, ""),
            *([] if self.x2face is None else _rows(self.x2face)),
        ]
        lines = [f"{name:<18}{value:9.2f} {unit}".rstrip() for name, value, unit in rows]
        return "\n".join([*lines, *map(str, self.engines)])


def run(settings: Settings, progress: Progress) -> BenchResult:
    """Measure for `settings.seconds`. Without a target, the demo driver's first frame is one.

    Raises:
        TargetError, EngineError: as in a live run.
    """
    meter = Meter()
    with ExitStack() as stack:
        video = stack.enter_context(read_video(shipped("demo.mp4")))
        if settings.target is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            settings = settings.model_copy(update={"target": _first_frame(video, folder / "demo.png")})
        pipeline = open_pipeline(settings, stack, meter)
        output = stack.enter_context(closing(open_output("none", size=settings.size, fps=settings.fps)))
        _learn_neutral(pipeline, video)
        driver = _endless(video)
        _run_for(WARM_UP, driver, pipeline, output, lambda _: None)
        seconds = settings.seconds or SECONDS
        total = int(seconds * (1 + OPEN_SHARE))
        meter.begin()
        beside = _run_for(seconds, driver, pipeline, output, lambda done: progress(int(done), total))
        report = meter.report()
        result = _result(report, beside, reports_of(pipeline.engines()))
        if settings.engine == "x2face":
            return replace(result, x2face=_saving(settings))
        meter.begin()
        beside_open = _run_for(
            OPEN_SHARE * seconds,
            driver,
            pipeline,
            output,
            lambda done: progress(int(seconds + done), total),
            _wide_open(),
        )
        return replace(result, mouth_open_fps=_fps(meter.report(), beside_open))


def baseline() -> float:
    """Seconds that a fixed computation takes: scale and blur a 1280x720 picture, multiply two matrices."""
    picture, matrix = _baseline_input()
    began = time.perf_counter()
    small = cv2.resize(picture, (640, 360), interpolation=cv2.INTER_AREA)
    cv2.GaussianBlur(small, (9, 9), 0)
    matrix @ matrix
    return time.perf_counter() - began


@cache
def _baseline_input() -> tuple[Pixels, Floats]:
    random = np.random.default_rng(0)
    picture = random.integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    return picture, random.standard_normal((512, 512), dtype=np.float32)


def _run_for(
    seconds: float,
    driver: Iterator[Frame],
    pipeline: Pipeline,
    output: VirtualCamera,
    tell: Callable[[float], None],
    motion: Motion | None = None,
) -> list[float]:
    """Frames as fast as they come; gives the times of the baseline runs in between, seconds.

    With a `motion` each frame is tracked all the same, and the target makes that motion.
    """
    began = time.monotonic()
    beside: list[float] = []
    while (elapsed := time.monotonic() - began) < seconds:
        frame = next(driver)
        if motion is None:
            pixels = pipeline.step(frame, frame.captured_at)
        else:
            pipeline.learn(frame)
            pixels = pipeline.follow(motion, frame.captured_at)
        publish(output, pixels, pipeline.meter)
        pipeline.meter.delivered(frame)
        if pipeline.meter.generated % BASELINE_EVERY == 0:
            beside.append(baseline())
        tell(elapsed)
    return beside or [baseline()]


def _endless(video: VideoFile) -> Iterator[Frame]:
    """The driver again and again, as if a camera had begun each frame just now."""
    while True:
        began = time.monotonic()
        for frame in video:
            yield replace(frame, captured_at=began)
            began = time.monotonic()


def _learn_neutral(pipeline: Pipeline, video: VideoFile) -> None:
    for frame in video:
        if frame.captured_at > LEARNING:
            break
        pipeline.learn(frame)
    pipeline.rewind()


def _first_frame(video: VideoFile, path: Path) -> Path:
    cv2.imwrite(str(path), next(iter(video)).pixels)
    return path


def _wide_open() -> Motion:
    """A dropped jaw, a turned head, eyes that look aside: everything is drawn that can be."""
    jaw = face_model().landmark_expression[ARKIT.index("jawOpen")]
    turned, aside = np.array([0.05, 0.3, 0.05], np.float32), np.full((2, 2), 0.1, np.float32)
    return replace(STILL, offsets=jaw * np.float32(0.9), turn=turned, gaze=aside)


def _fps(report: RunReport, beside: list[float]) -> float:
    return report.frames_generated / (report.seconds - sum(beside))


def _saving(settings: Settings) -> Saving:
    """What embedding a face beforehand saves."""
    where = settings.backbone, settings.device, settings.threads
    with open_network("embedding", *where) as embedding, open_network("driving", *where) as driving:
        return saving(settings.backbone, embedding, driving, settings.size)


def _rows(found: Saving) -> list[tuple[str, float, str]]:
    return [
        ("embedding", found.embedding_ms, "ms, once for each target"),
        ("driving", found.driving_ms, "ms"),
        ("sampling", found.sampling_ms, "ms"),
        ("both / driving", found.ratio, "is what embedding it once saves"),
    ]


def _result(report: RunReport, beside: list[float], engines: tuple[EngineReport, ...]) -> BenchResult:
    fps = _fps(report, beside)
    latency = {"p50": report.latency_p50_ms, "p95": report.latency_p95_ms}
    baseline_ms = float(np.median(beside)) * 1e3
    return BenchResult(
        fps=fps,
        latency_ms=latency,
        stages_ms=report.stages_ms,
        mouth_open_fps=None,
        rss_mb=report.rss_mb,
        baseline_ms=baseline_ms,
        ratio=1e3 / fps / baseline_ms,
        engines=engines,
    )
