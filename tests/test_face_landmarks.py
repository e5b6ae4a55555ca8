import numpy as np
import pytest
from faces import face, pose

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import LANDMARKS, LEFT_LIDS, LIPS_APART, RIGHT_LIDS, face_mesh


def test_mesh_is_symmetric_about_the_nose() -> None:
    mesh = face_mesh()
    assert np.array_equal(mesh.mirror[mesh.mirror], np.arange(LANDMARKS))
    np.testing.assert_allclose(mesh.neutral[mesh.mirror] * (-1, 1, 1), mesh.neutral, atol=1e-5)


def test_outer_eye_corners_are_one_unit_apart() -> None:
    assert face_landmarks.outer_eye_distance(face_mesh().neutral) == pytest.approx(1.0, abs=0.01)


def test_blend_shapes_do_what_their_names_say() -> None:
    def frontal(**weights: float) -> np.ndarray:
        params = face(weights)
        return face_landmarks.unpose(params.landmarks, params.pose)

    rest = frontal()
    assert face_landmarks.gap(frontal(jawOpen=1), LIPS_APART) > face_landmarks.gap(rest, LIPS_APART) + 0.1
    assert face_landmarks.gap(frontal(eyeBlinkRight=1), RIGHT_LIDS) < 0.6 * face_landmarks.gap(
        rest, RIGHT_LIDS
    )
    assert face_landmarks.gap(frontal(eyeBlinkRight=1), LEFT_LIDS) > 0.7 * face_landmarks.gap(rest, LEFT_LIDS)
    assert frontal(browInnerUp=1)[107, 1] < rest[107, 1] - 0.01


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.2, 0.0, 0.0), (0.0, -0.5, 0.1), (-0.2, 0.4, -0.3)])
def test_pose_is_found_again(turn: tuple[float, float, float]) -> None:
    where = pose(turn=turn, at=(400, 300), scale=90)
    found = face_landmarks.fit_pose(face(where=where).landmarks)
    np.testing.assert_allclose(found.rotation, turn, atol=2e-3)
    np.testing.assert_allclose(found.translation, (400, 300), atol=0.2)
    assert found.scale == pytest.approx(90, rel=2e-3)


def test_expression_hardly_disturbs_the_pose() -> None:
    where = pose(turn=(0.1, 0.2, 0.0))
    found = face_landmarks.fit_pose(face({"jawOpen": 0.8, "mouthSmileLeft": 0.7}, where).landmarks)
    np.testing.assert_allclose(found.rotation, where.rotation, atol=np.radians(3))


def test_unpose_takes_the_pose_out_whatever_the_depth() -> None:
    params = face({"mouthPucker": 0.5}, pose(turn=(0.1, 0.4, 0.2)))
    straight = face({"mouthPucker": 0.5}, pose())
    shifted = params.landmarks + np.array([0, 0, 37.0], np.float32)
    np.testing.assert_allclose(
        face_landmarks.unpose(shifted, params.pose),
        face_landmarks.unpose(straight.landmarks, straight.pose),
        atol=0.02,
    )


def test_region_weights_share_each_landmark_out() -> None:
    weights = face_landmarks.region_weights()
    np.testing.assert_allclose(weights.sum(axis=1), 1.0, atol=1e-5)
    assert weights[13, 0] > 0.9  # upper lip: mouth
    assert weights[159, 1] == 1.0  # lid: eyes
    assert weights[105, 2] > 0.6  # brow: brows


def test_a_blink_moves_no_chin_and_a_jaw_no_brow() -> None:
    mesh = face_mesh()

    def reach(name: str, landmark: int) -> float:
        return float(np.linalg.norm(mesh.basis[mesh.blendshape_names.index(name), landmark]))

    assert reach("eyeBlinkLeft", face_landmarks.CHIN) == reach("browInnerUp", face_landmarks.CHIN) == 0.0
    assert reach("jawOpen", 105) == 0.0
    assert reach("jawOpen", face_landmarks.CHIN) > 0.1
