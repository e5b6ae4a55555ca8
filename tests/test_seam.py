"""Shut lips that a tracker reads as parted are laid on the dark line between them."""

import cv2
import numpy as np
import pytest
from faces import face, portrait, pose, posed

from xpcam.face.landmarks import INNER_LIPS, LIPS_APART, columns, face_mesh, gap, unpose
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.mouth.interior import OWN_OPEN
from xpcam.target import still
from xpcam.target.seam import sealed

UPPER, LOWER = columns(LIPS_APART)


def parted(apart: float, where: Pose | None = None) -> FaceParams:
    """A face whose inner lips are read so far apart, outer-eye distances; below 0 they cross."""
    shape = face_mesh().neutral.copy()
    middle = (shape[UPPER, 1] + shape[LOWER, 1]) / 2
    shape[UPPER, 1], shape[LOWER, 1] = middle - apart / 2, middle + apart / 2
    return posed(shape, where or pose())


def with_line(params: FaceParams, lower: float) -> tuple[Pixels, Floats]:
    """A portrait with a dark line `lower` pixels below the middle of the lips' edges, and the line."""
    line = (params.landmarks[UPPER, :2] + params.landmarks[LOWER, :2]) / 2 + np.array((0, lower), np.float32)
    picture = np.full((480, 640, 3), 160, np.uint8)
    cv2.polylines(picture, [np.round(line * 16).astype(np.int32)], False, (30, 30, 60), 2, cv2.LINE_AA, 4)
    return picture, np.asarray(line, np.float32)


@pytest.mark.parametrize("apart", [-0.03, 0.0, 0.02, 0.04])
@pytest.mark.parametrize("lower", [-1.5, 0.0, 1.5])
@pytest.mark.parametrize("turn", [(0, 0, 0), (0.1, 0.3, 0.4)])
def test_both_edges_lie_on_the_dark_line(
    apart: float, lower: float, turn: tuple[float, float, float]
) -> None:
    params = parted(apart, pose(turn=turn))
    picture, line = with_line(params, lower)
    shut = sealed(picture, params)
    np.testing.assert_allclose(shut.landmarks[UPPER], shut.landmarks[LOWER], atol=1e-3)
    assert np.linalg.norm(shut.landmarks[UPPER, :2] - line, axis=1).mean() < 0.6
    others = np.setdiff1d(np.arange(478), INNER_LIPS)
    np.testing.assert_array_equal(shut.landmarks[others], params.landmarks[others])


def test_lips_that_are_apart_stay_apart() -> None:
    params = parted(OWN_OPEN + 0.01)
    picture, _ = with_line(params, 0.0)
    assert sealed(picture, params) is params


def test_shut_lips_are_left_alone_the_second_time() -> None:
    params = parted(0.03)
    picture, _ = with_line(params, 1.0)
    shut = sealed(picture, params)
    assert sealed(picture, shut) is shut


def test_without_a_line_they_meet_in_the_middle() -> None:
    params = parted(0.03)
    shut = sealed(np.full((480, 640, 3), 128, np.uint8), params)
    middle = (params.landmarks[UPPER] + params.landmarks[LOWER]) / 2
    np.testing.assert_allclose(shut.landmarks[UPPER], middle, atol=0.5)


@pytest.mark.parametrize("at", [(-400, 220), (320, -300), (1200, 900)])
def test_a_face_beyond_the_picture_is_no_mistake(at: tuple[float, float]) -> None:
    params = parted(0.03, pose(at=at))
    assert np.isfinite(sealed(np.full((480, 640, 3), 128, np.uint8), params).landmarks).all()


def test_a_target_read_as_parted_opens_by_what_the_person_does() -> None:
    params = parted(0.03)
    prepared = still.prepare(portrait(params), params, (640, 480))
    assert gap(unpose(params.landmarks, params.pose), LIPS_APART) > 0.02
    assert gap(unpose(prepared.params.landmarks, prepared.params.pose), LIPS_APART) < 1e-4
    assert gap(unpose(face().landmarks, face().pose), LIPS_APART) < OWN_OPEN
