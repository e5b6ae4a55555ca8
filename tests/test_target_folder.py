"""Several targets: a folder of stills, the change from one to the next, and what `--target` names."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import SIZE, Knowing, drawn, swaying, write_clip
from faces import Replay, face, portrait, pose

from xpcam.errors import TargetError
from xpcam.frame import FaceParams, Pixels
from xpcam.gallery.store import Store
from xpcam.pipeline import Pipeline
from xpcam.progress import unseen
from xpcam.retargeting.retargeter import Gains
from xpcam.settings import Settings
from xpcam.steering import Steering
from xpcam.target import folder as target_folder
from xpcam.target.clip import TargetClip
from xpcam.target.folder import Stored, load_folder
from xpcam.target.loading import load_target
from xpcam.target.still import Target, prepare
from xpcam.target_loader import TargetLoader

HERE = face(where=pose(at=(160, 110), scale=80))


class Sees:
    """Finds as many faces as the picture's first pixel says."""

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [HERE] * int(pixels[0, 0, 0] > 100) * (2 if pixels[0, 0, 1] > 100 else 1)


def picture(path: Path, faces: int, shade: int = 128) -> Path:
    pixels = portrait(HERE, SIZE)
    pixels[:, :20] = shade
    pixels[0, 0] = {0: (0, 0, 0), 1: (255, 0, 0), 2: (255, 255, 0)}[faces]
    cv2.imwrite(str(path), pixels)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    stills = tmp_path / "stills"
    stills.mkdir()
    picture(stills / "b.png", 1, 90)
    picture(stills / "a.png", 1, 30)
    picture(stills / "c.png", 0)
    picture(stills / "d.png", 2)
    (stills / "notes.txt").write_text("not a picture")
    (stills / ".hidden.png").write_text("not looked at")
    (stills / "deeper").mkdir()
    return stills


def test_pictures_with_one_face_are_prepared_by_name(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    told: list[tuple[int, int | None]] = []
    stored = load_folder(folder, SIZE, Sees(), lambda *done: told.append(done))
    assert [one.name for one in stored] == ["a.png", "b.png"]
    assert told[-1] == (5, 5)
    left_out = [record.getMessage() for record in caplog.records]
    assert len(left_out) == 3
    assert all("left out" in line and "\n" not in line for line in left_out)
    again = stored[0].target()
    fresh = prepare(cv2_read(folder / "a.png"), HERE, SIZE)
    np.testing.assert_array_equal(again.picture, fresh.picture)
    np.testing.assert_array_equal(again.mesh.still, fresh.mesh.still)


def cv2_read(path: Path) -> Pixels:
    return np.asarray(cv2.imread(str(path)), np.uint8)


def test_a_folder_without_a_target_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TargetError, match="none of its 0 files"):
        load_folder(tmp_path, SIZE, Sees(), unseen)
    picture(tmp_path / "c.png", 0)
    with pytest.raises(TargetError, match="none of its 1 files"):
        load_folder(tmp_path, SIZE, Sees(), unseen)
    monkeypatch.setattr(target_folder, "MOST", 0)
    with pytest.raises(TargetError, match="1 files; at most 0"):
        load_folder(tmp_path, SIZE, Sees(), unseen)


def shown_when(pipeline: Pipeline, fits: Callable[[Pixels], bool]) -> Pixels:
    """Pictures one after the other until one fits; the change happens in a thread."""
    for step in range(400):
        pixels = pipeline.step(None, step / 30)
        if fits(pixels):
            return pixels
        time.sleep(0.01)
    raise AssertionError("the target did not change")


def shade(pixels: Pixels) -> int:
    return int(pixels[120, 5, 1])


def test_targets_change_while_the_pipeline_runs(folder: Path) -> None:
    pipeline = Pipeline(load_folder(folder, SIZE, Sees(), unseen), Replay([None]), Gains())
    loader = TargetLoader(SIZE, lambda: nullcontext(Knowing([])), Store(folder / "gallery"))
    steering = Steering(Settings(target=folder), pipeline.targets, loader, pipeline.relearn)
    assert shade(pipeline.step(None, 0.0)) == pytest.approx(30, abs=3)
    steering.soon(steering.show_next)
    shown_when(pipeline, lambda pixels: abs(shade(pixels) - 90) <= 3)
    assert steering.show_next() == "a.png"  # after the last one the first
    assert shade(pipeline.step(None, 0.0)) == pytest.approx(30, abs=3)
    steering.close()
    pipeline.close()


def test_a_target_is_a_picture_a_clip_or_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tracker = Knowing([])
    opened: list[Knowing] = []

    class Reader:
        def __enter__(self) -> Knowing:
            opened.append(Knowing(list(swaying(12))))
            return opened[-1]

        def __exit__(self, *_: object) -> None:
            pass

    def load(path: Path) -> object:
        return load_target(path, SIZE, tracker, Reader, unseen)

    assert isinstance(load(folder / "a.png"), Target)
    stills = load(folder)
    assert isinstance(stills, tuple)
    assert all(isinstance(one, Stored) for one in stills)
    clip = write_clip(tmp_path / "clip.MP4", drawn(swaying(12)))
    assert isinstance(load(clip), TargetClip)
    assert isinstance(load(clip), TargetClip)
    assert len(opened) == 1  # the second time it was known
    with pytest.raises(TargetError, match="no such file"):
        load(tmp_path / "none.mp4")
