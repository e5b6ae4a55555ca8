"""Expression warping: the landmarks it claims are where the picture really went."""

import cv2
import numpy as np
import pytest
from faces import face, pose

from engines.face_params import warping
from engines.face_params.mouth_painting import mouth_inside
from xpcam.face import landmarks as fl
from xpcam.frame import Floats
from xpcam.tracking.crops import CROP, crop_matrix, face_square, transform

SIZE = 400
NO_SHAPES = np.zeros(len(fl.face_mesh().blendshape_names), np.float32)
POOL = np.random.default_rng(4).uniform(0, 0.7, (20, len(NO_SHAPES))).astype(np.float32)


@pytest.fixture
def landmarks() -> Floats:
    return face({}, pose(at=(200, 170), scale=110)).landmarks


def matrix_of(landmarks: Floats) -> Floats:
    return crop_matrix(*face_square(landmarks))


@pytest.mark.parametrize("point", [1, 61, 291, 105, 334, 152, 17, 33, 200])
@pytest.mark.parametrize("seed", range(3))
def test_a_mark_on_the_face_goes_where_its_landmark_goes(landmarks: Floats, point: int, seed: int) -> None:
    picture = np.full((SIZE, SIZE, 3), 40, np.uint8)
    at = landmarks[point, :2].round().astype(int).tolist()
    cv2.circle(picture, at, 4, (255, 255, 255), -1)
    warp = warping.random_warp(np.random.default_rng(seed), landmarks, NO_SHAPES, POOL)
    matrix = matrix_of(warp.after)
    crop = warping.Warper().render(picture, warp, matrix, cv2.BORDER_REPLICATE)
    rows, columns = np.nonzero(crop[..., 0] > 150)
    assert len(rows) > 0
    expected = transform(warp.after, matrix)[point, :2]
    np.testing.assert_allclose([columns.mean(), rows.mean()], expected, atol=3.0)


@pytest.mark.parametrize("seed", range(20))
def test_lids_and_lips_never_cross(landmarks: Floats, seed: int) -> None:
    warp = warping.random_warp(np.random.default_rng(seed), landmarks, NO_SHAPES, POOL)
    pairs = np.array((*fl.RIGHT_LIDS, *fl.LEFT_LIDS, *fl.LIPS_APART))
    eyes = warp.after[fl.EYE_CORNERS[1], :2] - warp.after[fl.EYE_CORNERS[0], :2]
    down = np.array((-eyes[1], eyes[0])) / np.linalg.norm(eyes)
    gaps = (warp.after[pairs[:, 1], :2] - warp.after[pairs[:, 0], :2]) @ down
    assert gaps.min() > -2.0


def test_expressions_are_varied(landmarks: Floats) -> None:
    rng = np.random.default_rng(0)
    warps = [warping.random_warp(rng, landmarks, NO_SHAPES, POOL).after for _ in range(60)]
    opening = np.array([np.linalg.norm(w[13, :2] - w[14, :2]) for w in warps]) / 110
    width = np.array([np.linalg.norm(w[61, :2] - w[291, :2]) for w in warps]) / 110
    eyes = np.array([np.linalg.norm(w[159, :2] - w[145, :2]) for w in warps]) / 110
    assert opening.std() > 0.05
    assert width.std() > 0.04
    assert eyes.min() < 0.03
    assert abs(np.corrcoef(opening, width)[0, 1]) < 0.6  # or the one could be read off the other


def test_calm_speech_moves_less_and_leaves_brows(landmarks: Floats) -> None:
    rng = np.random.default_rng(0)
    calm, any_ = (
        np.stack([warping.random_warp(rng, landmarks, NO_SHAPES, POOL, calm).after for _ in range(60)])
        for calm in (True, False)
    )

    def opening(faces: Floats) -> Floats:
        return np.asarray(np.linalg.norm(faces[:, 13, :2] - faces[:, 14, :2], axis=1))

    assert 0.02 * 110 < opening(calm).std() < 0.7 * opening(any_).std()
    brows = [np.linalg.norm(faces[:, 105, :2] - faces[:, 33, :2], axis=1).std() for faces in (calm, any_)]
    assert brows[0] < 0.5 * brows[1]


def test_a_closing_lid_covers_the_eye_instead_of_squeezing_it(landmarks: Floats) -> None:
    """A dark pupil keeps its width and height until the lid hides it."""
    picture = np.full((SIZE, SIZE, 3), 200, np.uint8)
    iris = landmarks[468, :2]
    cv2.circle(picture, iris.round().astype(int).tolist(), 5, (0, 0, 0), -1)
    half = face({"eyeBlinkRight": 0.5}, pose(at=(200, 170), scale=110)).landmarks
    warp = warping.Warp(landmarks, half, landmarks, np.zeros(51, np.float32))
    matrix = np.array([[1, 0, 128 - iris[0]], [0, 1, 128 - iris[1]]], np.float32)
    crop = warping.Warper().render(picture, warp, matrix, cv2.BORDER_REPLICATE)
    rows, columns = np.nonzero(crop[118:138, 118:138, 0] < 100)
    assert np.ptp(columns) >= 8
    assert len(rows) > 0
    lid = transform(half, matrix)[159, 1] - 118
    assert rows.min() > lid - 2
    assert rows.max() >= 13


def test_a_painted_mouth_stays_within_the_lips() -> None:
    crop = np.full((CROP, CROP, 3), 120, np.uint8)
    angles = np.pi - np.arange(20) * (2 * np.pi / 20)
    lips = np.stack([128 + 30 * np.cos(angles), 128 - 12 * np.sin(angles)], axis=1)
    mouth_inside(np.random.default_rng(1), crop, lips.astype(np.float32), 0.6)
    changed = np.argwhere((crop != 120).any(axis=2))
    assert len(changed) > 300
    assert (np.abs(changed - 128) <= (15, 33)).all()
