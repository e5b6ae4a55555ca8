"""The square around a head that X2Face's networks see."""

import cv2
import numpy as np
import pytest

from xpcam.face.head_crop import ANCHOR, SIDE_FACTOR, face_crop, face_height, face_square
from xpcam.face.landmarks import apply_pose, face_mesh, fit_pose
from xpcam.frame import Pose


def pose(yaw: float = 0.0, scale: float = 80.0) -> Pose:
    return Pose(np.array([0, yaw, 0], np.float32), np.array([200, 150], np.float32), scale)


def test_the_square_holds_the_face_and_turns_about_the_inside_of_the_head() -> None:
    for yaw in (-0.6, 0.0, 0.6):
        centre, side = face_square(pose(yaw))
        assert side == pytest.approx(SIDE_FACTOR * face_height() * 80.0)
        points = apply_pose(face_mesh().neutral, pose(yaw))[:, :2]
        assert np.abs(points - centre).max() < side / 2
        assert centre == pytest.approx(apply_pose(ANCHOR[None], pose(yaw))[0, :2])


def test_a_jaw_that_drops_does_not_move_it() -> None:
    mesh = face_mesh()
    jaw = mesh.basis[mesh.blendshape_names.index("jawOpen")]
    squares = [face_square(fit_pose(apply_pose(mesh.neutral + jaw * open_, pose()))) for open_ in (0.0, 0.8)]
    assert squares[0][0] == pytest.approx(squares[1][0], abs=1.0)
    assert squares[0][1] == pytest.approx(squares[1][1], rel=0.01)


@pytest.mark.parametrize("scale", [20.0, 80.0, 400.0])
def test_the_crop_shows_each_point_where_its_matrix_says(scale: float) -> None:
    picture = np.zeros((300, 400, 3), np.uint8)
    at = np.array([210.0, 140.0])
    cv2.circle(picture, (210, 140), max(2, round(scale / 20)), (255, 255, 255), -1)
    crop, matrix = face_crop(picture, pose(0.3, scale), 128)
    assert crop.shape == (128, 128, 3)
    rows, columns = np.nonzero(crop[..., 0] > 100)
    assert np.array([columns.mean(), rows.mean()]) == pytest.approx(
        matrix[:, :2] @ at + matrix[:, 2], abs=1.0
    )
