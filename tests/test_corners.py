"""The closer look at the mouth's corners (needs PyTorch, extra train)."""

import numpy as np
import pytest
from faces import face

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")

from engines.face_params import corner_views, train_corners  # noqa: E402
from engines.face_params.arrays import Floats  # noqa: E402
from engines.face_params.corner_views import Views  # noqa: E402
from engines.face_params.corners import KNOWN, TAKEN, CornerNet  # noqa: E402
from xpcam.face import landmarks as fl  # noqa: E402
from xpcam.tracking.crops import CROP, crop_matrix, face_square, transform  # noqa: E402


@pytest.fixture
def landmarks() -> Floats:
    """(2, 478, 3) the mean face, then with a smile, in pixels of a crop."""
    faces = [face(weights).landmarks for weights in ({}, {"mouthSmileLeft": 0.8, "mouthSmileRight": 0.8})]
    return np.stack([transform(points, crop_matrix(*face_square(points))) for points in faces])


def views(landmarks: Floats, truth: Floats) -> Views:
    rng = np.random.default_rng(3)
    smooth = np.repeat(np.repeat(rng.integers(0, 256, (2, 32, 32, 3), np.uint8), 8, axis=1), 8, axis=2)
    kept = [corner_views.piece_of(*row) for row in zip(smooth, landmarks, strict=True)]
    pieces, origins = (np.stack(part) for part in zip(*kept, strict=True))
    known = rng.random((2, KNOWN)).astype(np.float16)
    return Views(pieces, origins, landmarks[..., :2], known, truth[..., :2])


def test_only_the_corner_and_what_lies_about_it_moves_sideways(landmarks: Floats) -> None:
    network = CornerNet().eval()
    image, known = torch.zeros(2, 3, CROP, CROP), torch.zeros(2, KNOWN)
    before = torch.from_numpy(landmarks)
    assert torch.equal(network(image, before, known), before)
    with torch.no_grad():
        network.out.bias[0] = 0.25
        moved = (network(image, before, known) - before).numpy()
    right, left = fl.MOUTH_CORNERS
    assert moved[:, right, 0] == pytest.approx(2.0 * TAKEN, abs=1e-4)
    assert np.abs(moved[:, left]).max() < 0.05
    assert np.abs(moved[:, list(fl.EYE_CORNERS)]).max() < 1e-3
    assert np.abs(moved[..., 1:]).max() == 0.0


def test_training_sees_the_patches_that_the_network_cuts(landmarks: Floats) -> None:
    rng = np.random.default_rng(3)
    crops = np.repeat(np.repeat(rng.integers(0, 256, (2, 32, 32, 3), np.uint8), 8, axis=1), 8, axis=2)
    image = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
    cut = CornerNet().cut(image, torch.from_numpy(landmarks[..., :2]))
    seen = train_corners.batch(views(landmarks, landmarks), np.arange(2))[0]
    assert (cut - seen).abs().mean() * 128 < 1.5


def test_the_loss_is_nothing_where_nothing_is_wrong_and_sees_a_change_missed(landmarks: Floats) -> None:
    network = CornerNet()
    right = train_corners.loss(network, train_corners.batch(views(landmarks, landmarks), np.arange(2)))
    assert right["total"].item() == pytest.approx(0.0, abs=1e-6)
    still = landmarks[[0, 0]]
    missed = train_corners.loss(network, train_corners.batch(views(still, landmarks), np.arange(2)))
    assert missed["change"].item() > 1.0
