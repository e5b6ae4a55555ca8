"""The embedded face, made exact at the target's landmarks."""

import numpy as np
from faces import face, pose

from xpcam.face.embedded_face import canonical
from xpcam.face.head_crop import crop_matrix
from xpcam.warping.grids import CELLS, chained, identity
from xpcam.x2face.fitting import fitted, unfitted


def test_landmarks_are_found_where_the_target_has_them_and_back() -> None:
    where = pose(turn=(0.05, 0.1, 0.0), at=(160, 100), scale=50)
    landmarks = face(where=where).landmarks
    found = fitted(identity(CELLS), landmarks, where)
    matrix = crop_matrix(where, 2)
    own = landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2] - 0.5
    inner = [33, 263, 61, 291, 13, 14, 159, 145, 1, 105, 334]
    for grid, at, wanted in ((found.source, canonical(), own), (found.back, own, canonical())):
        said = chained(at[inner][None].astype(np.float32), grid)[0]
        np.testing.assert_allclose(said, wanted[inner], atol=1.2e-2)


def test_far_from_the_face_the_network_is_believed() -> None:
    where = pose(at=(160, 100), scale=50)
    plain, found = unfitted(identity(CELLS)), fitted(identity(CELLS), face(where=where).landmarks, where)
    np.testing.assert_allclose(found.source[:4], plain.source[:4], atol=5e-3)
    there_and_back = chained(found.back, found.source)
    np.testing.assert_allclose(there_and_back[20:-20, 20:-20], plain.source[20:-20, 20:-20], atol=1e-2)
