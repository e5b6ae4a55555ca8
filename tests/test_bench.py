"""The bench: what it measures, on a driver and a tracker made for the test."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import av
import numpy as np
import pytest
import x2face_models
from faces import face, portrait

from xpcam import bench, builders
from xpcam.errors import TargetError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.inference.engine import EngineReport
from xpcam.meter import STAGES
from xpcam.pipeline import Pipeline
from xpcam.retargeting.retargeter import Motion
from xpcam.settings import Settings


class ScriptedTracker:
    """Sees the same face in every picture, its jaw moving."""

    engines: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.frames = 0

    def track(self, frame: Frame) -> FaceParams | None:
        self.frames += 1
        return face({"jawOpen": 0.1 * (self.frames % 5)})

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [face()]

    def reset(self) -> None:
        pass


@pytest.fixture
def tracker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ScriptedTracker:
    """The bench's tracker, and a driver of half a second."""
    driver = tmp_path / "demo.mp4"
    with av.open(str(driver), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 640, 480, "yuv420p"
        for _ in range(15):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(portrait(face()), format="bgr24")))
        container.mux(stream.encode())
    scripted = ScriptedTracker()

    @contextmanager
    def open_tracker(settings: Settings) -> Iterator[ScriptedTracker]:
        yield scripted

    monkeypatch.setattr(bench, "shipped", lambda name: tmp_path / name)
    monkeypatch.setattr(bench, "WARM_UP", 0.05)
    monkeypatch.setattr(builders, "open_tracker", open_tracker)
    return scripted


def test_every_stage_of_every_frame_is_measured(tracker: ScriptedTracker) -> None:
    progress: list[tuple[int, int | None]] = []
    result = bench.run(Settings(size=(320, 240), seconds=0.5), lambda *done: progress.append(done))
    assert set(result.stages_ms) == set(STAGES)
    assert all(
        result.stages_ms[stage] > 0 for stage in ("decode", "track", "retarget", "render", "convert", "write")
    )
    assert 0 < result.latency_ms["p50"] <= result.latency_ms["p95"]
    assert result.fps > 0
    assert result.mouth_open_fps is not None and result.mouth_open_fps > 0
    assert result.x2face is None
    assert result.rss_mb > 10
    assert result.ratio == pytest.approx(1e3 / result.fps / result.baseline_ms)
    assert tracker.frames >= len(progress) > 0
    assert result.as_dict()["stages_ms"] == result.stages_ms


def test_x2face_says_what_embedding_beforehand_saves(
    tracker: ScriptedTracker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x2face_models.install(tmp_path, monkeypatch)
    result = bench.run(Settings(engine="x2face", size=(320, 240), seconds=0.3, device="cpu"), lambda *_: None)
    found = result.x2face
    assert found is not None and result.mouth_open_fps is None
    assert found.ratio == pytest.approx((found.embedding_ms + found.driving_ms) / found.driving_ms)
    assert found.sampling_ms > 0
    assert "once for each target" in str(result)
    assert json.loads(json.dumps(result.as_dict()))["x2face"]["backbone"] == "unet"


def test_a_target_of_ones_own_is_taken(tracker: ScriptedTracker, tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="nobody.png"):
        bench.run(Settings(target=tmp_path / "nobody.png", seconds=0.1), lambda *done: None)


def test_the_baseline_takes_time_and_changes_nothing() -> None:
    before = bench._baseline_input()[1].copy()
    assert bench.baseline() > 0
    assert (bench._baseline_input()[1] == before).all()


def test_the_mouth_is_wide_open_in_frames_of_its_own(
    tracker: ScriptedTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    followed: list[float] = []
    follow = Pipeline.follow

    def counted(self: Pipeline, motion: Motion | None, at: float) -> Pixels:
        assert motion is not None
        followed.append(float(np.abs(motion.offsets).max()))
        return follow(self, motion, at)

    monkeypatch.setattr(Pipeline, "follow", counted)
    bench.run(Settings(size=(320, 240), seconds=0.3), lambda *_: None)
    assert followed and min(followed) > 0.2
    assert tracker.frames > len(followed)


def test_what_runs_the_engines_is_named() -> None:
    report = EngineReport("face_params", "cuda", "", {"tensorrt": "not installed: libnvinfer.so.10"})
    result = bench.BenchResult(30.0, {"p50": 1.0, "p95": 2.0}, {}, 20.0, 100.0, 5.0, 6.0, (report,))
    assert str(result).endswith("\nface_params on CUDA; not TensorRT: not installed: libnvinfer.so.10")
    assert json.loads(json.dumps(result.as_dict()))["engines"] == [
        {
            "name": "face_params",
            "device": "cuda",
            "precision": "",
            "refusals": {"tensorrt": "not installed: libnvinfer.so.10"},
        }
    ]
