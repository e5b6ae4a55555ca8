"""What of a movement is carried over as expression."""

import numpy as np
import pytest

from xpcam.face.landmarks import FACE_OVAL, LANDMARKS
from xpcam.face.model import ARKIT, face_model
from xpcam.retargeting.transfer import KEPT, explained

SHAPES = face_model().landmark_expression


def weights(**named: float) -> np.ndarray:
    row = np.zeros(len(ARKIT), np.float32)
    for name, weight in named.items():
        row[ARKIT.index(name)] = weight
    return row


@pytest.mark.parametrize("name", ["jawOpen", "mouthSmileLeft", "browInnerUp", "eyeBlinkRight"])
def test_a_blend_shape_is_carried_whole(name: str) -> None:
    change = weights(**{name: 0.7})
    offsets = np.float32(0.7) * SHAPES[ARKIT.index(name)]
    np.testing.assert_allclose(explained(offsets, change), offsets, atol=1e-5)


def test_what_no_shape_explains_is_damped() -> None:
    noise = np.random.default_rng(1).normal(0, 0.01, (LANDMARKS, 3)).astype(np.float32)
    carried = explained(noise, weights())
    nose = 4
    np.testing.assert_allclose(carried[nose], KEPT * noise[nose], atol=1e-6)


def test_the_outline_follows_the_shapes_alone() -> None:
    sliding = np.zeros((LANDMARKS, 3), np.float32)
    sliding[list(FACE_OVAL), 0] = 0.1
    assert np.abs(explained(sliding, weights())[list(FACE_OVAL)]).max() < 0.01


def test_a_neutral_person_moves_nothing() -> None:
    assert not explained(np.zeros((LANDMARKS, 3), np.float32), weights()).any()
