import dataclasses
import logging

import cv2
import numpy as np
import pytest
from faces import face, pose
from numpy.typing import NDArray

from xpcam.eyes.eye_frame import EyeFrame, filled, membrane
from xpcam.eyes.gaze import BALL, gaze_of, together
from xpcam.eyes.irises import cut_irises
from xpcam.eyes.lids import paint_shut
from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import FACE_OVAL, LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.rendering.renderer import Renderer
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, Motion, Retargeter, mirrored, observe
from xpcam.target import still as target
from xpcam.target.still import Target
from xpcam.tracking.iris_reading import with_irises

SKIN, WHITE, IRIS = (120, 150, 200), (235, 235, 235), (90, 50, 20)
SIZE = (640, 480)
WHERE = pose(at=(320, 220), scale=240)
SHUT = dataclasses.replace(STILL, lids=np.zeros(2, np.float32))


def eyes(params: FaceParams) -> list[tuple[Floats, Floats]]:
    """(16, 2) contour and (2,) middle of the iris of each eye."""
    points = params.landmarks[:, :2]
    return [
        (points[list(eye)], points[list(iris)].mean(axis=0))
        for eye, iris in ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS))
    ]


def drawn(params: FaceParams, look: tuple[float, float] = (0.0, 0.0), irises: bool = True) -> Pixels:
    """A face of flat colours; its irises lie `look` pixels beside the landmarks."""
    picture = np.full((SIZE[1], SIZE[0], 3), (70, 90, 60), np.uint8)
    cv2.fillPoly(picture, [params.landmarks[list(FACE_OVAL), :2].round().astype(np.int32)], SKIN)
    for contour, middle in eyes(params):
        eye = np.zeros(picture.shape, np.uint8)
        opening = filled(contour, picture.shape[:2])[..., None]
        eye[:] = WHITE
        if irises:
            at = np.round((middle + look) * 16).astype(int)
            radius = round(0.21 * EyeFrame.of(contour).width * 16)
            cv2.circle(eye, (int(at[0]), int(at[1])), radius, IRIS, -1, cv2.LINE_AA, 4)
        picture = (picture + (eye.astype(np.float32) - picture) * opening).astype(np.uint8)
    return picture


def prepared(irises: bool = True) -> Target:
    params = face(where=WHERE)
    return target.prepare(drawn(params, irises=irises), params, SIZE)


def rendered(one: Target, motion: Motion, gains: Gains | None = None) -> Pixels:
    return Renderer(one).render(Retargeter(one.params, gains or Gains()).apply(motion)).copy()


def looking(yaw: float, pitch: float) -> Motion:
    return dataclasses.replace(STILL, gaze=np.tile(np.array([yaw, pitch], np.float32), (2, 1)))


def dark(picture: Pixels) -> NDArray[np.bool_]:
    return np.asarray(np.abs(picture.astype(int) - IRIS).max(axis=2) < 60)


def iris_middles(picture: Pixels, params: FaceParams) -> Floats:
    """(2, 2) the middle of what has the irises' colour in each eye."""
    found = []
    for contour, _ in eyes(params):
        mask = dark(picture) & (filled(contour, picture.shape[:2]) > 0.5)
        rows, columns = np.nonzero(mask)
        found.append([columns.mean(), rows.mean()])
    return np.array(found, np.float32)


def test_gaze_is_the_way_of_the_iris_over_the_ball() -> None:
    shape = face_landmarks.face_mesh().neutral.copy()
    straight = gaze_of(shape)
    shape[list(RIGHT_IRIS + LEFT_IRIS), :2] += np.array([0.05, -0.02], np.float32)
    moved = gaze_of(shape)
    np.testing.assert_allclose(
        np.sin(moved) - np.sin(straight), np.tile([0.05 / BALL, -0.02 / BALL], (2, 1)), atol=1e-5
    )


def test_gaze_does_not_depend_on_where_the_head_is() -> None:
    here, there = face(), face(where=pose(turn=(0.1, 0.4, 0.2), at=(100, 400), scale=90))
    gazes = [gaze_of(face_landmarks.unpose(one.landmarks, one.pose, depth=0.0)) for one in (here, there)]
    np.testing.assert_allclose(gazes[0], gazes[1], atol=0.01)


def test_an_eye_that_is_nearly_shut_has_no_say() -> None:
    gaze = np.array([[0.3, 0.1], [-0.5, 0.9]], np.float32)
    both, trust = together(gaze, np.array([1.0, 0.1], np.float32))
    np.testing.assert_allclose(both, gaze[0])
    assert trust == 1.0
    assert together(gaze, np.array([0.2, 0.1], np.float32))[1] == 0.0


def test_the_gaze_is_held_while_the_eyes_are_shut() -> None:
    one = face(where=WHERE)
    retargeter = Retargeter(one, Gains())
    before = retargeter.apply(looking(0.3, 0.0)).gaze
    blink = dataclasses.replace(looking(0.0, 0.8), lids=np.zeros(2, np.float32))
    np.testing.assert_allclose(retargeter.apply(blink).gaze, before)


def test_both_eyes_look_the_same_way() -> None:
    motion = dataclasses.replace(STILL, gaze=np.array([[0.4, 0.0], [0.2, 0.1]], np.float32))
    gaze = Retargeter(face(where=WHERE), Gains()).apply(motion).gaze
    np.testing.assert_allclose(gaze[0], gaze[1])
    assert gaze[0, 0] == pytest.approx(0.3, abs=0.05)


def test_who_turns_but_looks_at_us_makes_the_target_look_at_us() -> None:
    rest = Neutral(face_landmarks.unpose(face().landmarks, face().pose), pose())
    turned = face(where=pose(turn=(0.1, 0.3, 0.0)))  # to the left of the picture, and down
    ours = dataclasses.replace(turned, gaze=np.tile(np.array([0.3, -0.1], np.float32), (2, 1)))
    seen = Retargeter(face(where=WHERE), Gains(head=0.5)).apply(observe(ours, rest))
    np.testing.assert_allclose(seen.gaze, np.tile([0.15, -0.05], (2, 1)), atol=0.02)
    still = Retargeter(face(where=WHERE), Gains(head=0.0)).apply(observe(ours, rest))
    np.testing.assert_allclose(still.gaze, 0.0, atol=0.02)


def test_mirrored_eyes_look_to_the_other_side() -> None:
    motion = dataclasses.replace(STILL, gaze=np.array([[0.4, 0.1], [0.2, 0.3]], np.float32))
    np.testing.assert_allclose(mirrored(motion).gaze, [[-0.2, 0.3], [-0.4, 0.1]])


@pytest.mark.parametrize("look", [(0.0, 0.0), (6.0, 2.0), (-7.0, 0.0)])
def test_an_iris_is_found_beside_its_landmarks(look: tuple[float, float]) -> None:
    params = face(where=WHERE)
    layers = cut_irises(drawn(params, look), params.landmarks)
    assert layers is not None
    for layer, (_, middle) in zip(layers, eyes(params), strict=True):
        found = layer.frame.to_picture(layer.circle.centre)
        assert np.abs(found - middle - look).max() < 0.05 * layer.frame.width
        assert layer.circle.radius == pytest.approx(0.21, abs=0.03)


@pytest.mark.parametrize("look", [(0.0, 0.0), (12.0, 0.0), (-9.0, 0.0), (6.0, 3.0)])
def test_irises_are_read_from_the_frame(look: tuple[float, float]) -> None:
    params = face(where=WHERE)
    (straight, turned) = (with_irises(drawn(params, at), params.landmarks) for at in ((0.0, 0.0), look))
    for iris in (RIGHT_IRIS, LEFT_IRIS):
        way = (turned - straight)[list(iris), :2]
        assert np.abs(way[:, 0] - look[0]).max() < 0.02 * WHERE.scale
        assert way[:, 1].min() >= -1.0
    np.testing.assert_array_equal(turned[:468], params.landmarks[:468])


def test_irises_that_are_not_seen_stay_where_the_landmarks_are() -> None:
    params = face(where=WHERE)
    blank = drawn(params, irises=False)
    np.testing.assert_allclose(
        with_irises(blank, params.landmarks), params.landmarks, atol=0.02 * WHERE.scale
    )


@pytest.mark.parametrize(("yaw", "pitch"), [(0.35, 0.0), (-0.35, 0.0), (0.0, 0.2), (0.2, -0.15)])
def test_irises_move_and_white_is_where_they_were(yaw: float, pitch: float) -> None:
    one = prepared()
    straight, turned = (rendered(one, motion) for motion in (STILL, looking(yaw, pitch)))
    way = iris_middles(turned, one.params) - iris_middles(straight, one.params)
    width = EyeFrame.of(eyes(one.params)[0][0]).width
    np.testing.assert_allclose(way[:, 0] / width, 0.43 * np.sin(yaw), atol=0.06)
    assert way[0, 1] * pitch >= 0
    if yaw:
        for contour, middle in eyes(one.params):
            away = middle - np.array([np.sign(yaw) * 0.15 * width, 0.0])
            x, y = np.round(away).astype(int)
            assert turned[y, x].min() > 150, contour
    outside = np.ones(SIZE[::-1], bool)
    for contour, _ in eyes(one.params):
        outside &= cv2.dilate(filled(contour, SIZE[::-1]), np.ones((9, 9))) == 0
    assert np.abs(turned.astype(int) - straight)[outside].max() == 0


def test_an_iris_stays_in_its_eye() -> None:
    one = prepared()
    picture = rendered(one, looking(1.2, 0.0), Gains(gaze=2.0))
    for contour, _ in eyes(one.params):
        assert (dark(picture) & (filled(contour, SIZE[::-1]) > 0.5)).sum() > 100


def test_gain_zero_leaves_the_eyes_alone() -> None:
    one = prepared()
    np.testing.assert_array_equal(rendered(one, looking(0.4, 0.2), Gains(gaze=0.0)), rendered(one, STILL))


def test_a_target_without_irises_is_told_of_and_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    one = prepared(irises=False)
    np.testing.assert_array_equal(rendered(one, looking(0.4, 0.2)), rendered(one, STILL))
    assert "irises cannot be made out" in caplog.text


def test_shut_eyes_show_skin_and_a_line_of_lashes() -> None:
    one = prepared()
    picture = rendered(one, SHUT)
    for contour, _ in eyes(one.params):
        opening = filled(contour, SIZE[::-1]) > 0.5
        off = np.abs(picture.astype(int) - SKIN).max(axis=2)
        assert np.abs(picture.astype(int) - WHITE).max(axis=2)[opening].min() > 30
        assert (off[opening] < 45).mean() > 0.6
        around = cv2.dilate(opening.astype(np.uint8), np.ones((31, 1))) > 0
        assert (picture.sum(axis=2)[around] < 0.6 * sum(SKIN)).sum() > 40


def test_painted_lids_cover_the_eyes_and_not_the_brows() -> None:
    params = face(where=WHERE)
    shut = paint_shut(drawn(params), params.landmarks)
    for contour, _ in eyes(params):
        assert shut.picture[filled(contour, SIZE[::-1]) > 0.5, 3].min() > 128
    brows = params.landmarks[[105, 334], :2].round().astype(int)
    assert shut.picture[brows[:, 1], brows[:, 0], 3].max() == 0
    assert shut.lashes.max() < 150


def test_eyes_over_the_pictures_edge_are_no_error() -> None:
    params = face(where=pose(at=(20, 30), scale=200))
    one = target.prepare(drawn(params), params, SIZE)
    assert rendered(one, SHUT).shape == (480, 640, 3)
    assert rendered(one, looking(0.4, 0.1)).shape == (480, 640, 3)


def test_a_membrane_continues_a_slope() -> None:
    slope = np.repeat(np.tile(np.arange(32, dtype=np.float32), (24, 1))[..., None], 3, axis=2)
    hole = np.zeros((24, 32), bool)
    hole[8:16, 10:22] = True
    damaged = np.where(hole[..., None], np.float32(0.0), slope)
    np.testing.assert_allclose(membrane(damaged, hole)[hole], slope[hole], atol=1.0)
