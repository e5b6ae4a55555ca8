import dataclasses

import cv2
import numpy as np
import pytest
from faces import face, portrait, pose
from numpy.typing import NDArray

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import FACE_OVAL, FACE_POINTS, INNER_LIPS, LEFT_LIDS, RIGHT_LIDS
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.rendering.renderer import BUFFERS, RINGS, Renderer
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, Retargeter, observe
from xpcam.target import still as target
from xpcam.target.still import RING_PLACES, Target
from xpcam.warping.mesh_warp import MeshRasteriser

REST = Neutral(face_landmarks.unpose(face().landmarks, face().pose), pose())


def prepared(params: FaceParams | None = None, size: tuple[int, int] = (640, 480)) -> Target:
    params = params or face()
    return target.prepare(portrait(params), params, size)


def shown(one: Target, person: FaceParams, gains: Gains | None = None) -> Pixels:
    return Renderer(one).render(Retargeter(one.params, gains or Gains()).apply(observe(person, REST))).copy()


def difference(a: Pixels, b: Pixels) -> NDArray[np.int_]:
    return np.asarray(np.abs(a.astype(int) - b).max(axis=2))


def test_a_target_at_rest_is_its_own_picture() -> None:
    one = prepared()
    out = Renderer(one).render(Retargeter(one.params, Gains()).apply(STILL))
    assert difference(out, one.picture).max() <= 12
    assert difference(out, one.picture).mean() < 0.1


def test_only_the_moving_region_changes() -> None:
    one = prepared(size=(1280, 720))
    out = shown(one, face({"jawOpen": 0.7}, pose(turn=(0.1, 0.3, 0.1), at=(340, 230))))
    changed = difference(out, one.picture) > 0
    assert changed.sum() > 5000
    left, top, right, bottom = one.bounds
    outside = np.ones(changed.shape, bool)
    outside[top:bottom, left:right] = False
    assert not changed[outside].any()
    assert not changed[:, left].any()  # the motion has faded before the picture's border


def test_an_open_mouth_is_dark_inside_and_shut_it_is_skin() -> None:
    one = prepared()
    person = face({"jawOpen": 0.9})
    params = Retargeter(one.params, Gains()).apply(observe(person, REST))
    lips = params.landmarks[list(INNER_LIPS), :2]
    x, y = lips.mean(axis=0).round().astype(int)
    assert shown(one, person)[y, x].mean() < 60
    assert one.picture[y, x].mean() > 90


def test_the_targets_own_teeth_stay_in_its_mouth() -> None:
    smiling = face({"jawOpen": 0.5})
    picture = portrait(smiling)
    lips = smiling.landmarks[list(INNER_LIPS), :2]
    x, y = lips.mean(axis=0).round().astype(int)
    picture[y - 6 : y + 6, x - 20 : x + 20] = (250, 252, 253)
    one = target.prepare(picture, smiling, (640, 480))
    out = Renderer(one).render(Retargeter(one.params, Gains()).apply(STILL))
    assert out[y, x].min() > 240


def test_a_blink_covers_the_eye_with_skin() -> None:
    params = face()
    picture = portrait(params)
    for lids in (RIGHT_LIDS, LEFT_LIDS):
        pairs = np.array(lids)
        for upper, lower in pairs[1:-1]:
            (x0, y0), (x1, y1) = params.landmarks[upper, :2], params.landmarks[lower, :2]
            picture[int(y0) + 2 : int(y1) - 1, int(min(x0, x1)) - 6 : int(max(x0, x1)) + 6] = (255, 255, 0)
    one = target.prepare(picture, params, (640, 480))
    eye_colour = (one.picture == (255, 255, 0)).all(axis=2).sum()
    shut = dataclasses.replace(STILL, lids=np.zeros(2, np.float32))
    out = Renderer(one).render(Retargeter(one.params, Gains()).apply(shut))
    left = (np.abs(out.astype(int) - (255, 255, 0)).max(axis=2) < 40).sum()
    assert eye_colour > 300
    assert left < 0.03 * eye_colour


def test_pictures_handed_out_stay_for_two_more_calls() -> None:
    one = prepared()
    renderer, retargeter = Renderer(one), Retargeter(one.params, Gains())
    first = renderer.render(retargeter.apply(STILL))
    copy = first.copy()
    for _ in range(BUFFERS - 1):
        renderer.render(retargeter.apply(observe(face({"jawOpen": 0.8}), REST)))
    np.testing.assert_array_equal(first, copy)


@pytest.mark.parametrize("at", [(60, 220), (600, 220), (320, 40), (320, 440)])
def test_a_face_cut_by_the_border_moves_nothing_beyond_it(at: tuple[int, int]) -> None:
    one = prepared(face(where=pose(at=at, scale=150)), size=(1280, 720))
    out = shown(one, face({"jawOpen": 0.8}, pose(turn=(0.2, 0.4, 0.2), at=(400, 300))))
    changed = difference(out, one.picture) > 0
    left, top, right, bottom = one.bounds
    inside = changed[top:bottom, left:right]
    assert inside.sum() > 2000
    assert changed.sum() == inside.sum()


@pytest.mark.parametrize("at", [(60, 100), (580, 220), (320, 20)])
def test_a_face_over_the_border_opens_the_mouth_that_is_in_the_picture(at: tuple[int, int]) -> None:
    one = prepared(face(where=pose(at=at, scale=180)))
    person = face({"jawOpen": 0.8})
    params = Retargeter(one.params, Gains()).apply(observe(person, REST))
    lips = params.landmarks[list(INNER_LIPS), :2]
    x, y = lips.mean(axis=0).round().astype(int)
    assert shown(one, person)[y, x].mean() < 60 < one.picture[y, x].mean()


TURNS = [(0.0, 0.4, 0.0), (0.25, 0.0, 0.0), (-0.25, -0.4, 0.3)]
WILD = {"jawOpen": 1.5, "mouthSmileLeft": 1.5, "browInnerUp": 2.0, "eyeWideLeft": 2.0}


def moved(one: Target, person: FaceParams, gains: Gains) -> tuple[Floats, Floats]:
    """(V, 2) where the mesh's vertices come to lie, and (V,) how deep."""
    params = Retargeter(one.params, gains).apply(observe(person, REST))
    return Renderer(one)._place(params, face_landmarks.unpose(params.landmarks, params.pose, depth=0.0))


@pytest.mark.parametrize("turn", TURNS)
def test_extreme_expressions_and_turns_leave_no_hole(turn: tuple[float, float, float]) -> None:
    one = prepared()
    points, depth = moved(one, face(WILD, pose(turn=turn)), Gains(mouth=2, eyes=2, brows=2, head=1.5))
    covered = MeshRasteriser(one.mesh.triangles, (640, 480)).draw(
        points, np.ones((len(points), 3), np.float32), depth
    )
    border = points[-len(FACE_OVAL) :]  # the last ring, which stays
    np.testing.assert_allclose(border, one.mesh.still[-len(FACE_OVAL) :], atol=1e-3)
    inside = cv2.fillPoly(np.zeros((480, 640), np.uint8), [border.round().astype(np.int32)], 1)
    inside = cv2.erode(inside, np.ones((5, 5)), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    assert inside.sum() > 100_000
    assert covered[inside > 0].min() > 0.99


@pytest.mark.parametrize(
    ("weights", "turn"),
    [({"jawOpen": 0.8}, (0.0, 0.0, 0.0)), *(({"jawOpen": 0.5, "browInnerUp": 1}, turn) for turn in TURNS)],
)
@pytest.mark.parametrize(("at", "scale"), [((320, 220), 150.0), ((320, 200), 180.0), ((320, 260), 110.0)])
def test_the_surroundings_do_not_fold_over(
    weights: dict[str, float], turn: tuple[float, float, float], at: tuple[float, float], scale: float
) -> None:
    one = prepared(face(where=pose(at=at, scale=scale)))
    points, _ = moved(one, face(weights, pose(turn=turn)), Gains())
    triangles = one.mesh.triangles
    around = triangles[(triangles >= RINGS.start).any(axis=1)]
    assert len(around) == 2 * len(FACE_OVAL) * len(RING_PLACES)
    before, after = (oriented(vertices[around]) for vertices in (one.mesh.still, points))
    assert (before * after > 0).all()


@pytest.mark.parametrize(
    "weights",
    [
        {"jawOpen": 0.8},
        {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9},
        {"mouthPucker": 1.0},
        {"browInnerUp": 1.0},
        {"browDownLeft": 1.0, "browDownRight": 1.0},
        {"mouthFrownLeft": 1.0, "mouthFrownRight": 1.0},
    ],
)
def test_an_expression_does_not_fold_the_skin(weights: dict[str, float]) -> None:
    one = prepared()
    points, _ = moved(one, face(weights), Gains())
    skin = one.mesh.triangles[(one.mesh.triangles < FACE_POINTS).all(axis=1)]
    before, after = (oriented(vertices[skin]) for vertices in (one.mesh.still, points))
    large = np.abs(before) > 2.0  # of a triangle below a square pixel nobody sees a fold
    assert large.sum() > 500
    assert (before * after)[large].min() > 0


def oriented(corners: Floats) -> Floats:
    """Twice the area of (T, 3, 2) triangles, its sign by which way round they go."""
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0])
