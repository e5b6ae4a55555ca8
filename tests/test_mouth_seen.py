"""What the person's mouth shows tells the target's what to show, without their pixels."""

import dataclasses
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from faces import Replay, face, portrait, pose
from poison import SIZE, prepared
from test_mouth import SHUT, WIDE, Brighter, filled

from xpcam.face.landmarks import INNER_LIPS
from xpcam.frame import FaceParams, Floats, Frame, Pixels
from xpcam.mouth.seen import MouthSeen
from xpcam.mouth.showing import seen_in, shape_of, shown_by
from xpcam.pipeline import Pipeline
from xpcam.rendering.renderer import Look
from xpcam.retargeting.retargeter import STILL, Gains, blend, mirrored

SPEECH = face({"jawOpen": 0.5})


def with_mouth(params: FaceParams, brightness: int) -> Pixels:
    picture = portrait(params)
    lips = params.landmarks[list(INNER_LIPS), :2].round().astype(np.int32)
    cv2.fillPoly(picture, [lips], (brightness, brightness, brightness))
    return picture


def test_what_a_picture_shows_between_its_lips() -> None:
    mask = np.zeros((64, 64), np.float32)
    mask[20:40, 10:50] = 1
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[20:30] = (100, 100, 200)
    mean, upper, lower, red = seen_in(picture, mask, 200.0)
    assert upper == pytest.approx((0.701 * 100 + 0.299 * 200) / 200, abs=0.01)
    assert mean == pytest.approx(upper / 2, abs=0.01)
    assert lower < upper
    assert red == pytest.approx(0.25, abs=0.01)
    assert not seen_in(picture, np.zeros((64, 64), np.float32), 200.0).any()


def test_teeth_are_seen_and_shut_or_tiny_lips_show_nothing() -> None:
    bright, dark = (MouthSeen().of(with_mouth(SPEECH, value), SPEECH) for value in (200, 20))
    assert bright[4] == dark[4] == 1.0
    assert (bright[:3] > dark[:3] + 0.4).all()
    assert MouthSeen().of(portrait(SHUT), SHUT)[4] == 0.0
    tiny = face({"jawOpen": 0.5}, pose(scale=12.0))
    assert MouthSeen().of(portrait(tiny), tiny)[4] < 0.5


def test_it_settles_instead_of_trembling() -> None:
    seen = MouthSeen()
    before = seen.of(with_mouth(SPEECH, 60), SPEECH)[0]
    first, second = (seen.of(with_mouth(SPEECH, 180), SPEECH)[0] for _ in range(2))
    there = MouthSeen().of(with_mouth(SPEECH, 180), SPEECH)[0]
    assert before < first < second < there
    seen.forget()
    assert seen.of(with_mouth(SPEECH, 180), SPEECH)[0] == pytest.approx(there)


def test_as_far_as_it_is_believed() -> None:
    shape = shape_of(SPEECH.landmarks)
    seen = np.array([1.0, 1.0, 1.0, 1.0, 0.5], np.float32)
    np.testing.assert_allclose(shown_by(shape, seen=seen), (shown_by(shape) + 1) / 2, atol=1e-6)
    seen[4] = 0
    np.testing.assert_array_equal(shown_by(shape, seen=seen), shown_by(shape))


def test_it_goes_with_a_motion() -> None:
    seen = np.array([0.2, 0.4, 0.6, 0.1, 1.0], np.float32)
    motion = dataclasses.replace(STILL, shown=seen)
    assert blend(STILL, motion, 0.5).shown is seen
    half = blend(motion, dataclasses.replace(STILL, shown=np.zeros(5, np.float32)), 0.5).shown
    assert half is not None
    np.testing.assert_allclose(half, seen / np.float32(2))
    assert mirrored(motion).shown is seen


def test_the_engine_is_told() -> None:
    engine = Brighter()
    filled(dataclasses.replace(WIDE, shown=np.array([0.9, 0.8, 0.7, 0.6, 1.0], np.float32)), engine=engine)
    np.testing.assert_allclose(engine.given[0][3][22:], (0.9, 0.8, 0.7, 0.6), atol=1e-6)


def told(brightness: int) -> Floats:
    """What the engine is told after some frames of a person whose open mouth is so bright."""
    engine, person = Brighter(), face({"jawOpen": 0.7})
    faces: Iterator[FaceParams] = iter([SHUT] * 40 + [person] * 20)
    pipeline = Pipeline(prepared(), Replay(list(faces)), Gains(), look=Look(engine=engine))
    shut, opened = portrait(SHUT), with_mouth(person, brightness)
    for sequence in range(60):
        at = sequence / 30
        picture = pipeline.step(Frame(shut if sequence < 40 else opened, sequence, at), at)
    assert picture.shape[:2] == SIZE[::-1]
    pipeline.close()
    return engine.given[-1][3][22:]


def test_a_persons_teeth_show_in_the_targets_mouth() -> None:
    assert (told(200)[:3] > told(20)[:3] + 0.3).all()
