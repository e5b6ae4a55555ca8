"""`xpcam track`: what the tables contain."""

import csv
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.face_landmarks import LANDMARKS
from xpcam.frame import FaceParams, Pose
from xpcam.tracking_export import Track, check_output, collect, save


def face(seed: int) -> FaceParams:
    random = np.random.default_rng(seed)
    pose = Pose(random.random(3, np.float32), random.random(2, np.float32), 123.5)
    return FaceParams(random.random((LANDMARKS, 3), np.float32) * 300, pose, 0.75)


@pytest.fixture
def track() -> Track:
    return collect(iter([face(0), None, face(2)]))


def test_frames_without_a_face_are_nan(track: Track) -> None:
    assert track.landmarks.shape == (3, LANDMARKS, 2)
    assert track.faces == 2
    np.testing.assert_array_equal(track.landmarks[2], face(2).landmarks[:, :2])
    np.testing.assert_array_equal(track.rotation[0], face(0).pose.rotation)
    np.testing.assert_array_equal(track.translation[0], face(0).pose.translation)
    np.testing.assert_array_equal(track.confidence, [0.75, 0, 0.75])
    for part in (track.landmarks, track.rotation, track.translation, track.scale):
        assert np.isnan(part[1]).all()
        assert np.isfinite(part[[0, 2]]).all()


def test_a_video_without_frames_gives_empty_arrays() -> None:
    empty = collect(iter([]))
    assert empty.landmarks.shape == (0, LANDMARKS, 2)
    assert empty.confidence.shape == (0,)


def test_npz(track: Track, tmp_path: Path) -> None:
    save(track, tmp_path / "track.npz")
    with np.load(tmp_path / "track.npz", allow_pickle=False) as saved:
        assert set(saved) == {"landmarks", "confidence", "rotation", "translation", "scale"}
        for name in saved:
            np.testing.assert_array_equal(saved[name], getattr(track, name))


def test_csv(track: Track, tmp_path: Path) -> None:
    save(track, tmp_path / "track.csv")
    with (tmp_path / "track.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["frame"] for row in rows] == ["0", "1", "2"]
    assert float(rows[2]["x477"]) == pytest.approx(track.landmarks[2, 477, 0], rel=1e-5)
    assert float(rows[2]["y0"]) == pytest.approx(track.landmarks[2, 0, 1], rel=1e-5)
    assert float(rows[0]["scale"]) == 123.5
    assert rows[1]["x0"] == rows[1]["scale"] == rows[1]["rotation_z"] == ""
    assert float(rows[1]["confidence"]) == 0


@pytest.mark.parametrize("name", ["track.json", "track", "missing/track.npz", "folder.npz"])
def test_an_output_that_cannot_be_is_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(OutputError, match="choose another"):
        check_output(tmp_path / name)


def test_a_full_disk_is_named(track: Track, tmp_path: Path) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    (tmp_path / "track.csv").symlink_to(full)
    with pytest.raises(OutputError, match="No space left"):
        save(track, tmp_path / "track.csv")


def test_an_hour_is_not_held_twice() -> None:
    frames, one = 4000, face(1)
    tracemalloc.start()
    collected = collect(one for _ in range(frames))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(collected.confidence) == frames
    assert most < 1.6 * frames * (2 * LANDMARKS + 7) * 4  # bytes
