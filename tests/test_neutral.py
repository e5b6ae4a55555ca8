from dataclasses import replace

import numpy as np
import pytest
from faces import face, pose, posed

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import LIPS_APART, RIGHT_LIDS, gap, unpose
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import FaceParams
from xpcam.retargeting.neutral import LIPS_CLOSED, Neutral, NeutralFinder

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


LAUGH = {
    **dict.fromkeys(("mouthSmileLeft", "mouthSmileRight"), 0.9),
    **dict.fromkeys(("cheekSquintLeft", "cheekSquintRight", "mouthUpperUpLeft", "mouthUpperUpRight"), 0.5),
    "jawOpen": 0.4,
}


def expressed(weights: dict[str, float], seed: int = 0) -> FaceParams:
    """Somebody's face with shapes of the model, read with a little noise, and its weights."""
    model, noise = face_model(), np.random.default_rng(seed)
    expression = np.array([weights.get(name, 0.0) for name in ARKIT], np.float32)
    shape = REST + np.tensordot(expression, model.landmark_expression, axes=1)
    shape += noise.normal(0, 0.002, shape.shape).astype(np.float32)
    read = np.clip(0.85 * expression + noise.normal(0.03, 0.02, len(ARKIT)), 0, 1).astype(np.float32)
    return replace(posed(shape.astype(np.float32), pose()), expression=read)


def corners(neutral: Neutral | None) -> float:
    """How far the mouth's corners of a neutral face are from where they rest, outer-eye distances."""
    assert neutral is not None
    points = list(face_landmarks.MOUTH_CORNERS)
    return float(np.linalg.norm(neutral.face[points, :2] - REST[points, :2], axis=1).max())


def test_a_start_in_the_middle_of_a_laugh_breaks_nothing() -> None:
    """Three seconds of laughter, then rest: the laugh is seen at once, the rest is no frown."""
    laughing_face = unpose(expressed(LAUGH).landmarks, pose())
    smile = corners(Neutral(laughing_face, pose()))
    finder = NeutralFinder()
    away = []
    for index in range(240):
        laughing = index < 90
        away.append(corners(finder.update(expressed(LAUGH if laughing else {}, index), index / 30)))
    assert max(away[:90]) < 0.6 * smile
    assert max(away[90 + 60 :]) < 0.12 * smile
    assert away[-1] < 0.1 * smile


def test_a_laugh_later_on_moves_nothing() -> None:
    finder = NeutralFinder()
    for index in range(600):
        laughing = 60 <= index < 540  # 16 seconds: longer than what is remembered
        neutral = finder.update(expressed(LAUGH if laughing else {}, index), index / 30)
    assert corners(neutral) < 0.012


def test_one_wrong_reading_is_not_taken_for_rest() -> None:
    finder = NeutralFinder()
    worried = {"browInnerUp": 0.8, "browDownLeft": 0.4, "browDownRight": 0.4}
    for index in range(90):
        calm = index == 75
        neutral = finder.update(expressed({"mouthPucker": 0.5} if calm else worried, index), index / 30)
    assert neutral is not None
    assert neutral.expression[ARKIT.index("mouthPucker")] < 0.1


def test_lips_seen_shut_at_last_are_neutral_soon() -> None:
    def apart(neutral: Neutral | None) -> float:
        assert neutral is not None
        return gap(neutral.face, LIPS_APART)

    def after(seconds: float, later: dict[str, float]) -> float:
        finder = NeutralFinder()
        for index in range(round((1.2 + seconds) * 30)):  # talks in the second in which it is learned
            neutral = finder.update(expressed({"jawOpen": 0.1} if index < 36 else later, index), index / 30)
        return apart(neutral)

    talking = after(0.0, {})
    assert after(4.0, {}) < talking - 0.002
    assert after(4.0, {"jawOpen": 0.3}) == pytest.approx(talking, abs=1e-3)


def test_the_neutral_says_what_it_reads_as() -> None:
    finder = NeutralFinder()
    for index in range(30):
        neutral = finder.update(expressed({"browInnerUp": 0.4}, index), index / 30)
    assert neutral is not None
    assert neutral.expression[ARKIT.index("browInnerUp")] == pytest.approx(0.37, abs=0.05)
