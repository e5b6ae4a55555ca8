import numpy as np
import pytest
from faces import face, pose

from xpcam import face_landmarks
from xpcam.face_landmarks import LIPS_APART, RIGHT_LIDS, unpose
from xpcam.frame import FaceParams
from xpcam.neutral import LIPS_CLOSED, NeutralFinder

REST = unpose(face().landmarks, face().pose)


def talking(count: int, *, rate: float = 30.0, least: float = 0.0) -> list[tuple[FaceParams, float]]:
    """Someone in the middle of a word: the jaw goes up and down four times a second, one blink."""
    frames = []
    for index in range(count):
        at = index / rate
        jaw = least + 0.25 * (1 + np.sin(2 * np.pi * 4 * at))
        lids = 1.2 if 0.3 < at % 2.0 < 0.45 else 0.0
        weights = {"jawOpen": jaw, "eyeBlinkLeft": lids, "eyeBlinkRight": lids}
        frames.append((face(weights, pose(turn=(0.02, 0.1, 0))), at))
    return frames


def test_there_is_a_neutral_from_the_first_face_on() -> None:
    finder = NeutralFinder()
    assert finder.update(face(), 5.0) is not None


def test_a_face_that_is_none_teaches_nothing() -> None:
    unsure = FaceParams(face().landmarks, face().pose, 0.2)
    assert NeutralFinder().update(unsure, 0.0) is None


def test_a_start_in_the_middle_of_a_word_gives_a_closed_mouth_and_open_eyes() -> None:
    finder = NeutralFinder()
    for params, at in talking(30):
        neutral = finder.update(params, at)
    assert neutral is not None
    assert face_landmarks.gap(neutral.face, LIPS_APART) < 0.05
    assert face_landmarks.gap(neutral.face, RIGHT_LIDS) == pytest.approx(
        face_landmarks.gap(REST, RIGHT_LIDS), rel=0.1
    )
    np.testing.assert_allclose(neutral.pose.rotation, (0.02, 0.1, 0), atol=0.02)


def test_a_mouth_that_never_closed_is_closed_along_the_jaw() -> None:
    finder = NeutralFinder()
    for params, at in talking(30, least=0.5):
        neutral = finder.update(params, at)
    assert neutral is not None
    assert face_landmarks.gap(neutral.face, LIPS_APART) == pytest.approx(LIPS_CLOSED, abs=0.03)


def test_the_neutral_drifts_slowly() -> None:
    finder = NeutralFinder()
    for index in range(31):
        before = finder.update(face(), index / 30)
    raised = face({"browInnerUp": 1.0, "browOuterUpLeft": 1.0})
    soon = [finder.update(raised, 1.0 + index / 30) for index in range(1, 31)][-1]
    late = [finder.update(raised, 2.0 + index / 30) for index in range(1, 2400)][-1]
    assert before is not None and soon is not None and late is not None
    goal = unpose(raised.landmarks, raised.pose)[107, 1] - before.face[107, 1]
    assert abs(soon.face[107, 1] - before.face[107, 1]) < 0.3 * abs(goal)
    assert abs(late.face[107, 1] - before.face[107, 1]) > 0.5 * abs(goal)


def test_what_was_learned_beforehand_is_kept() -> None:
    finder = NeutralFinder()
    assert not finder.settle()
    finder.update(face(), 0.0)
    assert finder.settle()
    after = finder.update(face({"jawOpen": 1.0}), 0.0)
    assert after is not None
    assert face_landmarks.gap(after.face, LIPS_APART) < 0.05


def test_forget_starts_anew() -> None:
    finder = NeutralFinder()
    finder.update(face(), 0.0)
    finder.forget()
    assert not finder.settle()
