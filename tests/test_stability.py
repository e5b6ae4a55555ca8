"""Steadiness of the shipped tracker: a still face keeps still, and lips that open leave the brows alone."""

from collections.abc import Iterator

import numpy as np
import pytest
from faces import face, pose

from engines import stability
from engines.stability import BREATHING, JITTER, Actor
from xpcam.builders import open_tracker
from xpcam.frame import Pixels
from xpcam.settings import Settings
from xpcam.tracking.crops import AVERAGED, SteadySquare, face_square
from xpcam.tracking.tracker import FaceTracker


@pytest.fixture(scope="module")
def tracker() -> Iterator[FaceTracker]:
    with open_tracker(Settings()) as found:
        yield found


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    return stability.portrait("P009")


@pytest.mark.parametrize("path", [stability.still, stability.turning])
def test_a_face_keeps_still(tracker: FaceTracker, portrait: Pixels, path: stability.Path2D) -> None:
    assert stability.jitter(tracker, portrait, path, frames=45) <= JITTER


def test_lips_that_open_leave_the_brows_alone(tracker: FaceTracker, portrait: Pixels) -> None:
    tracked, output = stability.breathing(tracker, Actor(tracker, portrait), frames=60)
    assert tracked <= BREATHING
    assert output <= BREATHING


def test_a_lag_is_found() -> None:
    real = np.sin(np.arange(80) * 0.4)
    assert stability.lag(real, np.roll(real, 2)) == pytest.approx(2.0, abs=0.05)
    assert stability.lag(real, np.sin((np.arange(80) - 0.5) * 0.4)) == pytest.approx(0.5, abs=0.05)


def test_a_square_that_follows_a_face_does_not_follow_its_jaw() -> None:
    shut, wide = face(), face({"jawOpen": 1.0})
    square = SteadySquare()
    np.testing.assert_array_equal(square.of(shut.landmarks)[0], face_square(shut.landmarks)[0])
    for _ in range(AVERAGED):
        square.learn(shut.landmarks)
    assert square.of(wide.landmarks)[1] == pytest.approx(square.of(shut.landmarks)[1], rel=0.02)
    assert face_square(wide.landmarks)[1] > 1.1 * face_square(shut.landmarks)[1]
    near = face(where=pose(at=(200, 300), scale=300, turn=(0, 0, 0.3)))
    centre, side, roll = square.of(near.landmarks)
    np.testing.assert_allclose(centre, face_square(near.landmarks)[0], atol=2.0)
    assert side == pytest.approx(face_square(near.landmarks)[1], rel=0.01)
    assert roll == pytest.approx(0.3, abs=0.01)
