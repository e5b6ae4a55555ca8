"""The differentiable rasteriser of the parameters' training (needs PyTorch, extra train)."""

from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")

from engines.face_params.rasteriser import interpolate, rasterise  # noqa: E402

TRIANGLE = torch.tensor([[0, 2, 1]])  # counter-clockwise on paper, y down
CORNERS = torch.tensor([[[3.2, 4.1], [12.7, 6.3], [6.4, 13.9]]])
DEPTH = torch.zeros(1, 3)


def test_a_triangle_covers_the_pixels_that_opencv_gives_it() -> None:
    drawn = rasterise(CORNERS, DEPTH, TRIANGLE, 16, window=12)
    wanted = np.zeros((16, 16), np.uint8)
    cv2.fillConvexPoly(wanted, np.round(CORNERS[0].numpy() * 256).astype(np.int32), 1, cv2.LINE_8, 8)
    seen = drawn.seen[0].numpy()
    inner = cv2.erode(wanted, np.ones((3, 3)))
    assert seen[inner > 0].all()
    assert not seen[cv2.dilate(wanted, np.ones((3, 3))) == 0].any()


def test_weights_rebuild_the_pixel_centres() -> None:
    drawn = rasterise(CORNERS, DEPTH, TRIANGLE, 16, window=12)
    places = interpolate(drawn, TRIANGLE, CORNERS)[0][drawn.seen[0]]
    centres = drawn.seen[0].nonzero().flip(1).float()
    assert torch.allclose(places, centres, atol=1e-4)


def test_the_nearer_triangle_is_seen() -> None:
    both = torch.cat([CORNERS, CORNERS], dim=1)
    for near in (0, 1):
        depth = torch.tensor([[0.0] * 3 + [0.5] * 3]) if near == 0 else torch.tensor([[0.5] * 3 + [0.0] * 3])
        drawn = rasterise(both, depth, torch.tensor([[0, 2, 1], [3, 5, 4]]), 16, window=12)
        assert (drawn.triangle[drawn.seen] == near).all()


def test_a_triangle_seen_from_behind_is_not_drawn() -> None:
    assert not rasterise(CORNERS, DEPTH, TRIANGLE.flip(1), 16, window=12).seen.any()


def test_gradients_are_those_of_finite_differences() -> None:
    values = torch.tensor([[[0.1], [0.9], [0.4]]], dtype=torch.float64)

    def total(corners: Any) -> Any:
        drawn = rasterise(corners, DEPTH.double(), TRIANGLE, 16, window=12)
        inner = drawn.seen & (drawn.weights > 0.05).all(-1).detach()
        return (interpolate(drawn, TRIANGLE, values)[..., 0] * inner).sum()

    corners = CORNERS.double().requires_grad_(True)
    total(corners).backward()
    step = torch.zeros_like(corners)
    step[0, 1, 0] = 1e-6
    measured = (total(CORNERS.double() + step) - total(CORNERS.double() - step)) / 2e-6
    assert corners.grad is not None
    assert corners.grad[0, 1, 0].item() == pytest.approx(measured.item(), rel=1e-3)
