import numpy as np
import pytest
from faces import face, pose, posed

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import CHIN, FACE_OVAL, LEFT_LIDS, LIPS_APART, MOUTH_CORNERS, RIGHT_LIDS
from xpcam.frame import FaceParams
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import (
    SHIFT_LIMIT,
    STILL,
    TURN_LIMIT,
    Gains,
    Retargeter,
    blend,
    mirrored,
    observe,
)

TARGET = face(where=pose(turn=(0.05, -0.1, 0.02), at=(640, 300), scale=200))
REST = Neutral(face_landmarks.unpose(face().landmarks, face().pose), pose())


def frontal(params: FaceParams) -> np.ndarray:
    return face_landmarks.unpose(params.landmarks, params.pose, depth=0.0)


def carried(person: FaceParams, gains: Gains | None = None) -> FaceParams:
    return Retargeter(TARGET, gains or Gains()).apply(observe(person, REST))


def test_a_neutral_person_leaves_the_target_as_it_is() -> None:
    np.testing.assert_allclose(carried(face()).landmarks[:, :2], TARGET.landmarks[:, :2], atol=0.3)


def test_the_mouth_opens_as_far_as_the_persons() -> None:
    opened = face({"jawOpen": 0.6})
    wanted = face_landmarks.gap(face_landmarks.unpose(opened.landmarks, opened.pose), LIPS_APART)
    assert face_landmarks.gap(frontal(carried(opened)), LIPS_APART) == pytest.approx(wanted, rel=0.1)


def test_the_corners_come_together_while_the_mouth_opens() -> None:
    def width(params: FaceParams) -> float:
        shown = frontal(params)
        return float(shown[MOUTH_CORNERS[1], 0] - shown[MOUTH_CORNERS[0], 0])

    def narrower(person: FaceParams, target: FaceParams) -> float:
        """How much more the target's mouth narrows than the person's, outer-eye distances."""
        return (width(face()) - width(person)) - (width(TARGET) - width(target))

    opened = [face({"jawOpen": share}) for share in (0.0, 0.2, 0.8)]
    shut, little, wide = (narrower(person, carried(person)) for person in opened)
    assert abs(shut) < 1e-3
    assert -0.03 < wide < little < -0.003
    still = carried(opened[2], Gains(mouth=0))
    assert width(still) == pytest.approx(width(TARGET), abs=2e-3)


def test_a_blink_shuts_both_lids_and_a_wink_one() -> None:
    both = frontal(carried(face({"eyeBlinkLeft": 1.5, "eyeBlinkRight": 1.5})))
    assert face_landmarks.gap(both, RIGHT_LIDS) == face_landmarks.gap(both, LEFT_LIDS) == 0.0
    shape = REST.face.copy()
    upper, lower = np.array(RIGHT_LIDS).T
    shape[upper] = shape[lower]
    wink = frontal(carried(posed(shape, pose())))
    assert face_landmarks.gap(wink, RIGHT_LIDS) == 0.0
    assert face_landmarks.gap(wink, LEFT_LIDS) > 0.9 * face_landmarks.gap(frontal(TARGET), LEFT_LIDS)


def test_gain_zero_holds_a_region_still() -> None:
    person = face({"jawOpen": 0.5, "browInnerUp": 1.0, "eyeBlinkLeft": 1.0}, pose(turn=(0.1, 0.3, 0)))
    held = carried(person, Gains(mouth=0, eyes=0, brows=0, head=0))
    np.testing.assert_allclose(held.landmarks[:, :2], TARGET.landmarks[:, :2], atol=1.0)
    lips_only = frontal(carried(person, Gains(eyes=0, brows=0, head=0)))
    assert face_landmarks.gap(lips_only, LIPS_APART) > 0.05
    assert face_landmarks.gap(lips_only, LEFT_LIDS) == pytest.approx(
        face_landmarks.gap(frontal(TARGET), LEFT_LIDS), rel=0.02
    )


def test_the_head_turns_by_its_gain_and_never_too_far() -> None:
    turned = Retargeter(TARGET, Gains(head=0.5)).apply(observe(face(where=pose(turn=(0, 0.3, 0))), REST))
    relative = (
        face_landmarks.rotation_matrix(turned.pose.rotation)
        @ face_landmarks.rotation_matrix(TARGET.pose.rotation).T
    )
    assert face_landmarks.rotation_vector(relative)[1] == pytest.approx(0.15, abs=0.01)
    far = Retargeter(TARGET, Gains(head=1.5)).apply(
        observe(face(where=pose(turn=(0, 1.2, 0), at=(900, 0))), REST)
    )
    relative = (
        face_landmarks.rotation_matrix(far.pose.rotation)
        @ face_landmarks.rotation_matrix(TARGET.pose.rotation).T
    )
    assert abs(face_landmarks.rotation_vector(relative)[1]) <= TURN_LIMIT[1] + 1e-3
    moved = np.linalg.norm(far.landmarks[:, :2].mean(0) - TARGET.landmarks[:, :2].mean(0)) / TARGET.pose.scale
    assert moved < 1.5 * SHIFT_LIMIT + 0.5


def test_lips_never_cross() -> None:
    pressed = carried(face({"mouthClose": 3.0, "mouthRollLower": 2.0, "mouthRollUpper": 2.0}))
    upper, lower = np.array(LIPS_APART).T
    shape = frontal(pressed)
    assert (shape[lower, 1] - shape[upper, 1] > -1e-4).all()


def test_no_point_flies_off() -> None:
    wild = face(dict.fromkeys(("jawOpen", "mouthFunnel", "cheekPuff", "mouthLeft"), 5.0))
    offsets = frontal(carried(wild)) - frontal(Retargeter(TARGET, Gains()).apply(STILL))
    assert np.linalg.norm(offsets, axis=1).max() < 0.8


def test_mirrored_twice_is_the_same() -> None:
    motion = observe(face({"mouthSmileLeft": 0.8, "eyeBlinkLeft": 0.7}, pose(turn=(0.1, 0.2, 0.3))), REST)
    once, twice = mirrored(motion), mirrored(mirrored(motion))
    np.testing.assert_allclose(twice.offsets, motion.offsets, atol=1e-6)
    np.testing.assert_allclose(twice.turn, motion.turn, atol=1e-6)
    assert once.lids[0] < once.lids[1]  # the left eye's blink has become the right eye's
    assert once.turn[1] == pytest.approx(-motion.turn[1])


def test_blend_goes_from_one_motion_to_the_other() -> None:
    motion = observe(face({"jawOpen": 0.5}), REST)
    np.testing.assert_array_equal(blend(STILL, motion, 0.0).offsets, STILL.offsets)
    np.testing.assert_allclose(blend(STILL, motion, 0.5).offsets, motion.offsets / 2, atol=1e-6)


def test_a_smile_on_a_smile_stays_a_smile() -> None:
    def width(params: FaceParams) -> float:
        shape = frontal(params)
        return float(shape[291, 0] - shape[61, 0])

    grin = {"mouthSmileLeft": 1.0, "mouthSmileRight": 1.0}
    smiling = face(dict.fromkeys(grin, 2.0), TARGET.pose)
    from_rest = width(carried(face(grin))) - width(carried(face()))
    motion = observe(face(grin), REST)
    on_top = width(Retargeter(smiling, Gains()).apply(motion)) - width(
        Retargeter(smiling, Gains()).apply(STILL)
    )
    assert from_rest > 0.1
    assert 0 < on_top < 0.6 * from_rest


def test_an_outline_that_slides_is_not_followed_but_a_jaw_is() -> None:
    person = face()
    slid = person.landmarks.copy()
    slid[list(FACE_OVAL), 0] += 20.0  # the silhouette of a turned head wanders over the cheek
    moved = carried(FaceParams(slid, person.pose, 0.9))
    still = carried(person)
    assert np.abs(moved.landmarks[list(FACE_OVAL), :2] - still.landmarks[list(FACE_OVAL), :2]).max() < 3.0
    opened = carried(face({"jawOpen": 0.8}))
    assert opened.landmarks[CHIN, 1] > still.landmarks[CHIN, 1] + 0.1 * TARGET.pose.scale
