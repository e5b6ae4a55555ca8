import dataclasses

import cv2
import numpy as np
import pytest
from faces import face, pose

from xpcam.face.landmarks import FACE_OVAL, FACE_POINTS, face_mesh, rotation_matrix
from xpcam.face.model import normals, shading
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.rendering.relighting import LEAST, MOST, STRENGTH, Light
from xpcam.rendering.renderer import Look, Renderer
from xpcam.retargeting.outline import outline
from xpcam.retargeting.retargeter import STILL, Gains, Motion, Retargeter
from xpcam.target import still as target
from xpcam.warping.mesh_warp import MeshRasteriser

SIZE = (640, 480)
WHERE = pose(at=(320, 220), scale=220)
FROM_LEFT = np.array([1.0, -0.2, -0.3, -0.4, 0, 0, 0, 0, 0], np.float32)  # of the picture: x is negative


def shaded(where: Pose) -> Floats:
    """(468,) how bright the mean face is under that light."""
    out = -normals(face_mesh().neutral[:FACE_POINTS], face_mesh().triangles)
    turned = np.asarray(out @ rotation_matrix(where.rotation).T, np.float32)
    return shading(turned, np.repeat(FROM_LEFT[:, None], 3, axis=1))[:, 0]


def lit(params: FaceParams) -> Pixels:
    """The mean face with skin of one colour, lit from the left of the picture."""
    colours = np.clip(shaded(params.pose) * 0.4, 0.0, 1.0)
    values = np.repeat(colours[:, None], 3, axis=1).astype(np.float32)
    points = params.landmarks[:FACE_POINTS]
    drawn = MeshRasteriser(face_mesh().triangles, SIZE).draw(points[:, :2], values, points[:, 2])
    return (drawn * 255).astype(np.uint8)


def turned(yaw: float = 0.0, pitch: float = 0.0) -> Motion:
    return dataclasses.replace(STILL, turn=np.array([pitch, yaw, 0.0], np.float32))


@pytest.mark.parametrize("turn", [(0.0, 0.3, 0.0), (0.0, -0.3, 0.0), (0.25, 0.0, 0.0), (-0.2, 0.2, 0.0)])
def test_the_ratio_is_that_of_the_light_in_the_picture(turn: tuple[float, float, float]) -> None:
    params = face(where=WHERE)
    there = pose(turn=turn)
    ratio = Light(lit(params), params).ratio(there)
    assert ratio is not None
    inside = (outline().share[:FACE_POINTS, 0] == 0) & (shaded(WHERE) > 0.5)
    truth = np.clip(shaded(there) / shaded(WHERE), LEAST, MOST)
    wanted = 1.0 + (truth - 1.0) * STRENGTH
    assert np.abs(ratio - wanted)[inside].mean() < 0.04
    assert ratio[list(FACE_OVAL)] == pytest.approx(np.ones(len(FACE_OVAL)), abs=0.02)  # it fades to nothing


def test_a_head_that_does_not_turn_is_not_shaded_anew() -> None:
    params = face(where=WHERE)
    assert Light(lit(params), params).ratio(WHERE) is None


def test_even_light_changes_nothing() -> None:
    params = face(where=WHERE)
    ratio = Light(np.full((480, 640, 3), 140, np.uint8), params).ratio(pose(turn=(0.1, 0.3, 0.0)))
    assert ratio is not None
    np.testing.assert_allclose(ratio, 1.0, atol=0.02)


def test_the_side_that_turns_to_the_light_brightens_within_the_face_only() -> None:
    params = face(where=WHERE)
    one = target.prepare(lit(params), params, SIZE)
    moved = Retargeter(one.params, Gains(head=1.0)).apply(turned(yaw=0.3))  # to the left, towards the light
    looks = (Look(relight=False), Look(relight=True))
    plain, shaded_anew = (Renderer(one, look).render(moved).copy() for look in looks)
    change = shaded_anew.astype(int) - plain
    nose = moved.landmarks[4, :2].round().astype(int)
    assert change[nose[1] - 3 : nose[1] + 4, nose[0] - 3 : nose[0] + 4].mean() > 3
    oval = cv2.convexHull(moved.landmarks[list(FACE_OVAL), :2].round().astype(np.int32))
    near = cv2.dilate(cv2.fillPoly(np.zeros(SIZE[::-1], np.uint8), [oval], 1), np.ones((25, 25)))
    assert np.abs(change).max(axis=2)[near == 0].max() == 0


def test_at_rest_the_light_stays_the_pictures() -> None:
    params = face(where=WHERE)
    one = target.prepare(lit(params), params, SIZE)
    still = Retargeter(one.params, Gains()).apply(STILL)
    looks = (Look(relight=False), Look(relight=True))
    plain, shaded_anew = (Renderer(one, look).render(still).copy() for look in looks)
    np.testing.assert_array_equal(plain, shaded_anew)


def test_a_face_over_the_pictures_edge_is_no_error() -> None:
    params = face(where=pose(at=(20, 30), scale=200))
    one = target.prepare(lit(params), params, SIZE)
    moved = Retargeter(one.params, Gains(head=1.0)).apply(turned(0.3, 0.2))
    assert Renderer(one).render(moved).shape == (480, 640, 3)
