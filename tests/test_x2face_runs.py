"""Runs of the X2Face engine: real tracker, real ONNX Runtime, tiny networks in place of X2Face's."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import x2face_models
from conftest import Run
from test_nobody_leaks import generated

from xpcam import builders, offline
from xpcam.camera.opening import read_video
from xpcam.errors import EngineError, SettingsError, TargetError
from xpcam.gallery.store import Store, gallery_folder
from xpcam.inference.engine import reports_of
from xpcam.meter import Meter
from xpcam.progress import unseen
from xpcam.settings import Settings
from xpcam.x2face import embedding, opening
from xpcam.x2face.animated import AnimatedFace


@pytest.fixture(autouse=True)
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x2face_models.install(tmp_path, monkeypatch)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    cv2.imwrite(str(tmp_path / "face.png"), generated("P009"))
    return tmp_path / "face.png"


def settings(target: Path, **values: Any) -> Settings:
    given = {"target": target, "size": (320, 240), "device": "cpu", "threads": 1, "engine": "x2face"}
    return Settings(**{**given, **values})


def test_what_runs_each_network_is_told(target: Path) -> None:
    with ExitStack() as stack:
        pipeline = builders.open_pipeline(settings(target, backbone="unet3plus"), stack, Meter())
        told = reports_of(pipeline.engines())
    assert [one.name for one in told] == ["face_params", "face_detector", "x2face_driving_unet3plus"]
    assert {one.device for one in told} == {"cpu"}


def test_a_file_of_expressions_drives_it(target: Path, tmp_path: Path) -> None:
    table, clip = tmp_path / "take.csv", tmp_path / "out.mp4"
    rows = [f"00:00:00:{row * 2:02d}.000,52,{row / 5},{row / 10}" for row in range(6)]
    table.write_text("\n".join(["Timecode,BlendShapeCount,JawOpen,HeadYaw", *rows]), encoding="utf-8")
    asked = settings(target, camera=f"csv:{table}")
    assert offline.render_table(asked, table, clip, unseen).frames_generated == 6
    with read_video(clip) as frames:
        shown = [frame.pixels.astype(int) for frame in frames]
    assert np.abs(shown[-1] - shown[0]).mean() > 2


def test_settings_of_no_use_are_named_once(
    target: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    builders.check_engine(settings(target, mouth=1.2, gaze=0.5, relight=False))
    builders.check_engine(settings(target))
    builders.check_engine(settings(target, engine="mesh", gaze=0.5))
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["gaze, relight"]


def test_a_target_is_embedded_when_it_is_added(
    run: Run,
    target: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XPCAM_SIZE", "320x240")
    assert run("target", "add", target, "--as", "anna", "--engine", "x2face") == 0
    assert "anna: its face is embedded for x2face, unet\n" in capsys.readouterr().out
    kept = sorted(embedding.folder().glob("*.npz"))
    assert len(kept) == 1

    def never(*_: object) -> object:
        raise AssertionError("it was embedded already")

    opened = opening.open_network
    monkeypatch.setattr(
        builders, "open_network", lambda part, *rest: never() if part == "embedding" else opened(part, *rest)
    )
    with ExitStack() as stack:
        builders.open_pipeline(settings(Path("anna")), stack, Meter())
    assert sorted(embedding.folder().glob("*.npz")) == kept


def test_a_clip_is_not_added_for_it(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "clip.mp4").touch()
    assert run("target", "add", tmp_path / "clip.mp4", "--engine", "x2face") == TargetError.exit_code
    assert "clip.mp4 is a clip, x2face wants a still" in capsys.readouterr().err
    assert Store(gallery_folder()).entries() == ()


def test_networks_that_do_not_come_with_it_are_an_engine_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(opening, "SHIPPED", {})
    with pytest.raises(EngineError, match="use --engine mesh"):
        opening.model_of("driving", "unet")


def test_a_target_changes_while_live_and_a_bad_one_is_refused(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.png"
    cv2.imwrite(str(other), generated("P001"))
    asked = settings(target)
    with ExitStack() as stack:
        pipeline = builders.open_pipeline(asked, stack, Meter())
        steering = builders.open_steering(asked, pipeline, stack)
        before = pipeline.step(None, 0.0).copy()
        for bad in (tmp_path / "clip.mp4", tmp_path / "nowhere.png"):
            with pytest.raises(TargetError):
                steering.use(str(bad))
        with pytest.raises(SettingsError, match="gaze, relight: of no use to the engine x2face"):
            steering.change({"gaze": 1.2, "mirror": True, "relight": False})
        assert (pipeline.step(None, 0.0) == before).all()
        steering.use(str(other))
        steering.change({"mirror": True, "mouth": 1.2, "transfer": "landmarks"})
        assert abs(pipeline.step(None, 0.0).astype(int) - before).mean() > 5
        live = pipeline.targets.current()
        assert isinstance(live.animated, AnimatedFace) and live.mirror and live.gains.mouth == 1.2
