"""`xpcam track`: what the tables contain."""

import csv
import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.face.landmarks import LANDMARKS, rotation_matrix
from xpcam.face.model import ARKIT
from xpcam.frame import FaceParams, Pose
from xpcam.tracking import live_link
from xpcam.tracking.export import Track, check_output, collect, save


def face(seed: int) -> FaceParams:
    random = np.random.default_rng(seed)
    pose = Pose(random.random(3, np.float32), random.random(2, np.float32), 123.5)
    points = random.random((LANDMARKS, 3), np.float32) * 300
    expression, gaze = random.random(len(ARKIT), np.float32), random.random((2, 2), np.float32)
    return FaceParams(points, pose, 0.75, expression, gaze)


@pytest.fixture
def track() -> Track:
    return collect(iter([(7.0, face(0)), (7.04, None), (7.08, face(2))]))


def test_frames_without_a_face_are_nan(track: Track) -> None:
    assert track.landmarks.shape == (3, LANDMARKS, 2)
    assert track.faces == 2
    np.testing.assert_array_equal(track.landmarks[2], face(2).landmarks[:, :2])
    np.testing.assert_array_equal(track.rotation[0], face(0).pose.rotation)
    np.testing.assert_array_equal(track.translation[0], face(0).pose.translation)
    np.testing.assert_array_equal(track.expression[2], face(2).expression)
    np.testing.assert_array_equal(track.gaze[2], face(2).gaze)
    np.testing.assert_allclose(track.seconds, [0.0, 0.04, 0.08])
    np.testing.assert_array_equal(track.confidence, [0.75, 0, 0.75])
    parts = (track.landmarks, track.rotation, track.translation, track.scale, track.expression, track.gaze)
    for part in parts:
        assert np.isnan(part[1]).all()
        assert np.isfinite(part[[0, 2]]).all()


def test_a_video_without_frames_gives_empty_arrays() -> None:
    empty = collect(iter([]))
    assert empty.landmarks.shape == (0, LANDMARKS, 2)
    assert empty.confidence.shape == (0,)


def test_npz(track: Track, tmp_path: Path) -> None:
    save(track, tmp_path / "track.npz")
    with np.load(tmp_path / "track.npz", allow_pickle=False) as saved:
        assert tuple(saved["blendshape_names"]) == ARKIT
        names = {field.name for field in dataclasses.fields(Track)}
        assert set(saved) == names | {"blendshape_names"}
        for name in names:
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
    collected = collect((0.0, one) for _ in range(frames))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(collected.confidence) == frames
    assert most < 1.6 * frames * (2 * LANDMARKS + 7 + 58) * 4  # bytes


def test_live_link_tables_are_csv_alone(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="end in .csv"):
        check_output(tmp_path / "track.npz", "live-link")


def test_live_link(track: Track, tmp_path: Path) -> None:
    save(track, tmp_path / "track.csv", "live-link")
    take = live_link.read(tmp_path / "track.csv")
    np.testing.assert_allclose(take.seconds, track.seconds, atol=1e-4)
    np.testing.assert_allclose(take.expression, track.expression, atol=1e-6)
    np.testing.assert_allclose(take.gaze, track.gaze, atol=1e-6)
    for angles, rotation in zip(take.head[[0, 2]], track.rotation[[0, 2]], strict=True):
        np.testing.assert_allclose(live_link.head_rotation(angles), rotation_matrix(rotation), atol=1e-5)


def test_live_link_of_nothing(tmp_path: Path) -> None:
    save(collect(iter([])), tmp_path / "track.csv", "live-link")
    assert (tmp_path / "track.csv").read_text(encoding="utf-8").count("\n") == 1
