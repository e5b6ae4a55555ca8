"""Crops the teacher labels: eyes that look elsewhere, and shards read back with their landmarks."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import face, pose

from engines.face_params.gaze_warping import look_elsewhere
from engines.face_params.shards import Shards
from xpcam.face import landmarks as fl
from xpcam.frame import Floats, Pixels
from xpcam.tracking.crops import CROP

IRIS = (40, 60, 90)


@pytest.fixture
def landmarks() -> Floats:
    return face({}, pose(at=(128, 100), scale=110)).landmarks


def eyes(landmarks: Floats) -> Pixels:
    """White with a dark disc in place of each iris."""
    crop = np.full((CROP, CROP, 3), 230, np.uint8)
    for iris in (fl.RIGHT_IRIS, fl.LEFT_IRIS):
        points = landmarks[list(iris), :2]
        radius = 0.9 * np.linalg.norm(points[1] - points[3]) / 2
        cv2.circle(crop, points[0].round().astype(int).tolist(), round(float(radius)), IRIS, -1)
    return crop


def seen_iris(crop: Pixels, near: Floats) -> Floats:
    """Middle of the dark pixels about a place."""
    rows, columns = np.nonzero(crop[..., 2] < 160)
    close = np.hypot(columns - near[0], rows - near[1]) < 20
    return np.array([columns[close].mean(), rows[close].mean()], np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_an_iris_goes_where_its_landmarks_go(landmarks: Floats, seed: int) -> None:
    crop = eyes(landmarks)
    moved = look_elsewhere(np.random.default_rng(seed), crop, landmarks)
    for iris in (fl.RIGHT_IRIS[0], fl.LEFT_IRIS[0]):
        away = seen_iris(crop, moved[iris, :2]) - moved[iris, :2]
        assert abs(away[0]) < 2.0
        assert abs(away[1]) < 3.5  # lids hide some of it
    step = moved[[fl.RIGHT_IRIS[0], fl.LEFT_IRIS[0]]] - landmarks[[fl.RIGHT_IRIS[0], fl.LEFT_IRIS[0]]]
    np.testing.assert_allclose(step[0], step[1], atol=1.0)  # both eyes look the same way
    others = np.delete(np.arange(fl.LANDMARKS), [*fl.RIGHT_IRIS, *fl.LEFT_IRIS])
    np.testing.assert_array_equal(moved[others], landmarks[others])


def test_nothing_but_the_eyes_is_touched(landmarks: Floats) -> None:
    before = eyes(landmarks)
    crop = before.copy()
    look_elsewhere(np.random.default_rng(0), crop, landmarks)
    assert (crop != before).any()
    np.testing.assert_array_equal(crop[140:], before[140:])


@pytest.fixture
def shard(tmp_path: Path, landmarks: Floats) -> Path:
    """Two crops with a mark at the nose's tip, as label_warps writes them."""
    crop = np.full((CROP, CROP, 3), 60, np.uint8)
    cv2.circle(crop, landmarks[1, :2].round().astype(int).tolist(), 4, (255, 255, 255), -1)
    jpeg = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
    content = {
        "jpeg": np.concatenate([jpeg, jpeg]),
        "offset": np.array([0, len(jpeg), 2 * len(jpeg)]),
        "landmarks": np.stack([landmarks, landmarks]),
        "scores": np.zeros((2, 52), np.float32),
        "portrait": np.zeros(2, np.int64),
    }
    np.savez(tmp_path / "shard.npz", allow_pickle=False, **content)
    return tmp_path / "shard.npz"


@pytest.mark.parametrize("mirror", [False, True])
def test_a_mark_in_a_shard_lies_at_its_landmark(shard: Path, mirror: bool) -> None:
    crop, landmarks = Shards([shard]).sample(np.random.default_rng(0), 1, mirror)
    rows, columns = np.nonzero(crop[..., 0] > 150)
    np.testing.assert_allclose([columns.mean(), rows.mean()], landmarks[1, :2], atol=1.0)
    right, left = (landmarks[corner, 0] for corner in fl.EYE_CORNERS)
    assert right < left  # mirrored or not, the person's right eye lies left


def test_shards_tell_their_portraits_apart(shard: Path) -> None:
    both = Shards([shard, shard])
    assert len(both) == 4
    assert len(set(both.portrait.tolist())) == 2


def test_small_files_are_drawn_from_as_often_as_large_ones(shard: Path, tmp_path: Path) -> None:
    large = dict(np.load(shard, allow_pickle=False))
    size = int(large["offset"][1])
    large["jpeg"] = np.concatenate([large["jpeg"][:size]] * 20)
    large["offset"] = np.arange(21) * size
    for name in ("landmarks", "scores", "portrait"):
        large[name] = np.repeat(large[name][:1], 20, axis=0)
    np.savez(tmp_path / "large.npz", allow_pickle=False, **large)
    shards = Shards([tmp_path / "large.npz", shard])
    rng = np.random.default_rng(0)
    firsts = [shards.portrait_of(rng) for _ in range(400)]
    assert 140 < sum(first == 20 for first in firsts) < 260
    assert {first % 2 for first in firsts} == {0}
    assert set(firsts) == set(range(0, 22, 2))
