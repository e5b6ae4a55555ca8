"""What `face_model.npz` is built with: the closest point of a surface, and fields kept as integers."""

import numpy as np
import pytest

from engines.face_params.packing import quantised, sparse
from xpcam.face.model import ARKIT

SQUARE = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], float)
HALVES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


@pytest.mark.parametrize(
    ("point", "wanted"),
    [
        ((0.7, 0.2, 5.0), (0.7, 0.2, 0.0)),  # above the inside
        ((0.2, 0.7, -1.0), (0.2, 0.7, 0.0)),
        ((0.4, -3.0, 0.0), (0.4, 0.0, 0.0)),  # beside an edge
        ((2.0, 2.0, 1.0), (1.0, 1.0, 0.0)),  # beyond a corner
    ],
)
def test_the_closest_point(point: tuple[float, ...], wanted: tuple[float, ...]) -> None:
    surface = pytest.importorskip(
        "engines.face_params.surface", reason="needs the train extra", exc_type=ImportError
    )
    triangle, weights = surface.closest(np.array([point]), SQUARE, HALVES)
    found = (SQUARE[HALVES[triangle]] * weights[..., None]).sum(axis=1)
    assert found[0] == pytest.approx(np.array(wanted), abs=1e-6)
    assert weights.sum() == pytest.approx(1.0) and weights.min() >= 0


def test_integers_keep_what_matters() -> None:
    field = np.random.default_rng(0).normal(0, 0.1, (5, 40, 3)) * np.array([1, 0.1, 3, 0, 1])[:, None, None]
    for kind, share in ((np.int16, 2e-5), (np.int8, 5e-3)):
        whole, unit = quantised(field, kind)
        assert whole.dtype == kind
        off = np.abs(whole * unit[:, None, None] - field).max(axis=(1, 2))
        assert (off <= share * np.abs(field).max(axis=(1, 2)) + 1e-9).all()


def test_only_what_moves_is_stored() -> None:
    shapes = np.zeros((len(ARKIT), 30, 3))
    shapes[3, 7], shapes[51, 29], shapes[4, 1] = (0.1, 0, 0), (0, -0.2, 0), (0, 0, 1e-5)
    stored = sparse(shapes)
    assert list(stored["expression_at"]) == [3 * 30 + 7, 51 * 30 + 29]
    assert stored["expression"] * stored["expression_scale"] == pytest.approx(
        np.array([[0.1, 0, 0], [0, -0.2, 0]]), abs=1e-5
    )
