"""The 3D morphable face: its file, its frame, its landmarks, its light, its dense version, its fit."""

import time

import numpy as np
import pytest

from xpcam.face import landmarks as fl
from xpcam.face.appearance import light_of
from xpcam.face.dense import dense_face
from xpcam.face.fit import fit
from xpcam.face.model import (
    ARKIT,
    EYE,
    HEAD,
    IBUG,
    IDENTITIES,
    SKIN,
    TEXTURES,
    FaceModel,
    face_model,
    normals,
    shading,
)
from xpcam.frame import Floats, Pose
from xpcam.resources import shipped

IRISES = (*fl.RIGHT_IRIS, *fl.LEFT_IRIS)
NOBODY = np.zeros(IDENTITIES, np.float32)
FRONT, BEHIND, LEFT = (np.array([axis], np.float32) for axis in ((0, 0, -1), (0, 0, 1), (1, 0, 0)))


def weights(**shapes: float) -> Floats:
    made = np.zeros(len(ARKIT), np.float32)
    for name, weight in shapes.items():
        made[ARKIT.index(name)] = weight
    return made


def marked(model: FaceModel, **shapes: float) -> Floats:
    return model.landmarks(model.shape(NOBODY, weights(**shapes)))


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return face_model()


def test_the_file_is_small_and_loads_at_once() -> None:
    assert shipped("face_model.npz").stat().st_size <= 6_000_000
    took = []
    for _ in range(5):
        start = time.process_time()
        face_model.__wrapped__()
        took.append(time.process_time() - start)
    assert min(took) < 0.05


def test_arrays_have_the_shapes_that_are_promised(model: FaceModel) -> None:
    count = len(model.mean)
    assert model.identity.shape == (IDENTITIES, count, 3)
    assert model.expression.shape == (len(ARKIT), count, 3) == (52, count, 3)
    assert model.albedo.shape == (TEXTURES, count, 3)
    assert model.albedo_mean.shape == model.mean.shape
    assert model.uv.shape == (count, 2) and model.uv.min() >= 0 and model.uv.max() <= 1
    assert model.albedo_mean.min() >= 0 and model.albedo_mean.max() <= 1
    assert model.triangles.min() == 0 and model.triangles.max() == count - 1
    assert model.part.shape == (len(model.triangles),)
    floats = (model.mean, model.identity, model.expression, model.albedo, model.albedo_mean, model.uv)
    assert all(array.dtype == np.float32 and np.isfinite(array).all() for array in floats)


def test_names_are_arkits(model: FaceModel) -> None:
    assert set(ARKIT) == {*fl.face_mesh().blendshape_names, "tongueOut"}
    assert ARKIT[0] == "eyeBlinkLeft" and ARKIT[-1] == "tongueOut"
    assert (np.abs(model.expression).max(axis=(1, 2)) > 0.01).all()  # all alive


def test_the_frame_is_that_of_the_landmarks(model: FaceModel) -> None:
    corners = model.landmark_mean[list(fl.EYE_CORNERS)]
    assert corners == pytest.approx(np.array([[-0.5, 0, 0], [0.5, 0, 0]]), abs=1e-4)
    assert model.mean[model.mirror] * (-1, 1, 1) == pytest.approx(model.mean, abs=1e-5)
    off = (model.landmark_mean - fl.face_mesh().neutral)[:, :2]
    assert np.linalg.norm(off, axis=1).mean() < 0.02
    assert np.linalg.norm(off, axis=1).max() < 0.1


def test_the_outside_is_outside(model: FaceModel) -> None:
    facing = normals(model.mean, model.triangles)
    assert np.linalg.norm(facing, axis=1) == pytest.approx(np.ones(len(facing)), abs=1e-3)
    assert facing[model.mean[:, 2].argmin(), 2] < -0.8  # the tip of the nose looks at the camera
    skin = np.unique(model.triangles[model.part == SKIN])
    assert (facing[skin, 2] < 0).mean() > 0.7


def test_landmarks_lie_on_what_they_name(model: FaceModel) -> None:
    assert model.landmark_weights.sum(axis=1) == pytest.approx(np.ones(fl.LANDMARKS), abs=1e-4)
    assert model.landmark_weights.min() >= 0
    part = model.part[model.landmark_triangle]
    assert (part[list(IRISES)] == EYE).all()
    assert np.isin(part[: fl.FACE_POINTS], (SKIN, HEAD)).all()
    partner = fl.face_mesh().mirror
    assert model.landmark_mean[partner] * (-1, 1, 1) == pytest.approx(model.landmark_mean, abs=0.01)


def test_the_68_points_pair_off() -> None:
    partner = fl.face_mesh().mirror
    assert len(set(IBUG)) == 68
    assert {int(partner[index]) for index in IBUG} == set(IBUG)


def test_shapes_do_what_their_names_say(model: FaceModel) -> None:
    neutral = marked(model)
    assert fl.gap(neutral, fl.LIPS_APART) < 0.02
    assert fl.gap(marked(model, jawOpen=1), fl.LIPS_APART) > 0.15
    shut = marked(model, eyeBlinkLeft=1)
    assert fl.gap(shut, fl.LEFT_LIDS) < 0.2 * fl.gap(neutral, fl.LEFT_LIDS)
    assert fl.gap(shut, fl.RIGHT_LIDS) == pytest.approx(fl.gap(neutral, fl.RIGHT_LIDS), abs=1e-3)
    left, right = fl.MOUTH_CORNERS[1], fl.MOUTH_CORNERS[0]
    smile = marked(model, mouthSmileLeft=1) - neutral
    assert smile[left, 1] < -0.03 and abs(smile[right, 1]) < 0.01
    assert (marked(model, browInnerUp=1) - neutral)[[55, 285], 1].max() < -0.02
    gaze = marked(model, eyeLookOutLeft=1) - neutral
    assert gaze[fl.LEFT_IRIS[0], 0] > 0.02 and abs(gaze[fl.RIGHT_IRIS[0], 0]) < 1e-3


def test_bases_at_the_landmarks_equal_the_landmarks_of_shapes(model: FaceModel) -> None:
    rng = np.random.default_rng(0)
    identity, expression = (rng.normal(0, 1, n).astype(np.float32) for n in (IDENTITIES, len(ARKIT)))
    whole = model.landmarks(model.shape(identity, expression))
    moved = np.tensordot(identity, model.landmark_identity, 1) + np.tensordot(
        expression, model.landmark_expression, 1
    )
    assert whole == pytest.approx(model.landmark_mean + moved, abs=1e-4)


def test_light_from_everywhere_is_the_same_everywhere(model: FaceModel) -> None:
    ambient = np.zeros((9, 3), np.float32)
    ambient[0] = (0.2, 0.5, 0.8)
    lit = shading(normals(model.mean, model.triangles), ambient)
    assert lit == pytest.approx(np.tile(ambient[0], (len(lit), 1)), abs=1e-6)


def test_light_falls_from_where_it_comes() -> None:
    lamp = np.zeros((9, 3), np.float32)
    lamp[0], lamp[2], lamp[3] = 0.5, -0.3, 0.2  # from the camera, and from the right of the picture
    front, behind, left = (shading(normal, lamp)[0, 0] for normal in (FRONT, BEHIND, LEFT))
    assert front == pytest.approx(0.8) and behind == pytest.approx(0.2) and left == pytest.approx(0.7)


def test_light_is_found_again() -> None:
    rng = np.random.default_rng(1)
    facing = rng.normal(0, 1, (600, 3)).astype(np.float32)
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    albedo = rng.uniform(0.3, 0.7, (600, 3)).astype(np.float32)
    light = rng.normal(0, 0.1, (9, 3)).astype(np.float32)
    light[0] += 1
    colours = albedo * shading(facing, light)
    colours[::10] = 0.0  # hair: a tenth of it is not skin at all
    assert light_of(colours, facing, albedo) == pytest.approx(light, abs=0.03)


def test_the_dense_face_has_about_fifty_thousand_points(model: FaceModel) -> None:
    dense = dense_face()
    points = dense.points(model.mean)
    assert 40_000 <= len(points) <= 60_000
    assert len(dense.part) == len(dense.triangles)
    assert dense.points(np.ones((len(model.mean), 1), np.float32)) == pytest.approx(1.0, abs=1e-5)
    tip = points[:, 2].min()
    assert tip == pytest.approx(model.mean[:, 2].min(), abs=0.02)
    assert (normals(points, dense.triangles)[points[:, 2].argmin(), 2]) < -0.8


def test_the_dense_face_is_linear_in_the_parameters(model: FaceModel) -> None:
    dense = dense_face()
    expression = weights(jawOpen=0.7, mouthSmileLeft=0.4)
    whole = dense.points(model.shape(NOBODY, expression))
    parts = dense.points(model.mean) + sum(
        weight * dense.points(model.expression[k]) for k, weight in enumerate(expression) if weight
    )
    assert whole == pytest.approx(parts, abs=1e-4)


def test_a_fit_finds_the_parameters_again(model: FaceModel) -> None:
    identity = np.random.default_rng(4).normal(0, 1, IDENTITIES).astype(np.float32)
    expression = weights(jawOpen=0.6, eyeBlinkLeft=0.8, mouthSmileRight=0.3)
    pose = Pose(np.array([0.1, -0.3, 0.05], np.float32), np.array([320, 240], np.float32), 140.0)
    landmarks = fl.apply_pose(model.landmarks(model.shape(identity, expression)), pose)
    found = fit(landmarks)
    assert found.error < 0.005
    assert found.pose.rotation == pytest.approx(pose.rotation, abs=0.08)
    assert found.pose.scale == pytest.approx(pose.scale, rel=0.03)
    for name, wanted in (("jawOpen", 0.6), ("eyeBlinkLeft", 0.8), ("eyeBlinkRight", 0.0)):
        assert found.expression[ARKIT.index(name)] == pytest.approx(wanted, abs=0.25)
    assert found.expression.min() >= 0 and found.expression.max() <= 1


def test_a_fit_does_not_mind_where_the_face_is(model: FaceModel) -> None:
    near = fl.apply_pose(model.landmark_mean, Pose(np.zeros(3, np.float32), np.zeros(2, np.float32), 90.0))
    far = near * np.float32(3) + np.float32(500)
    first, second = fit(near), fit(far)
    assert second.pose.scale == pytest.approx(3 * first.pose.scale, rel=1e-3)
    assert second.expression == pytest.approx(first.expression, abs=1e-3)
