import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xpcam.warping.mesh_warp import MeshRasteriser, coordinates, sample

SQUARE = np.array([[10, 10], [50, 10], [50, 40], [10, 40]], np.float32)
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3]], np.int32)


def noise(height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def warp(picture: np.ndarray, before: np.ndarray, after: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Rasterise and sample together, as the renderer does: the picture goes along with the mesh."""
    size = (picture.shape[1], picture.shape[0])
    scale = 2.0 * np.array(size, np.float32)  # room for vertices outside the picture
    values = np.zeros((len(before), 3), np.float32)
    values[:, :2] = before / scale + 0.25
    still = np.zeros((size[1], size[0], 3), np.float32)
    still[..., :2] = coordinates(size) / scale + 0.25
    drawn = MeshRasteriser(triangles, size, still).draw(after, values)
    return sample(picture, (drawn[..., :2] - 0.25) * scale)


def test_a_mesh_that_stays_changes_no_pixel() -> None:
    picture = noise()
    np.testing.assert_array_equal(warp(picture, SQUARE, SQUARE, TRIANGLES), picture)


def test_a_moved_mesh_takes_its_pixels_along() -> None:
    picture = noise()
    moved = warp(picture, SQUARE, SQUARE + np.array([7, 5], np.float32), TRIANGLES)
    np.testing.assert_array_equal(moved[18:40, 20:50], picture[13:35, 13:43])
    np.testing.assert_array_equal(moved[:12], picture[:12])


def test_values_are_interpolated_at_pixel_centres() -> None:
    values = np.ones((4, 3), np.float32)
    values[:, 0] = SQUARE[:, 0] / 100
    drawn = MeshRasteriser(TRIANGLES, (80, 60)).draw(SQUARE, values)
    np.testing.assert_allclose(drawn[20:30, 15:45, 0] * 100, np.tile(np.arange(15, 45), (10, 1)), atol=1e-3)
    assert (drawn[:9] == 0).all()


def test_the_background_shows_where_no_triangle_is() -> None:
    background = np.full((60, 80, 3), 0.25, np.float32)
    drawn = MeshRasteriser(TRIANGLES, (80, 60), background).draw(SQUARE, np.ones((4, 3), np.float32))
    assert drawn[0, 0, 0] == 0.25
    assert drawn[20, 20, 0] == 1.0


@pytest.mark.parametrize("front", [0, 1])
def test_the_nearer_triangle_is_seen(front: int) -> None:
    points = np.concatenate([SQUARE[:3], SQUARE[:3]])
    depth = np.array([5, 5, 5, 5, 5, 5], np.float32)
    depth[3 * front : 3 * front + 3] = 1
    values = np.repeat(np.array([[0.2] * 3, [0.8] * 3], np.float32), 3, axis=0)
    drawn = MeshRasteriser(np.array([[0, 1, 2], [3, 4, 5]], np.int32), (80, 60)).draw(points, values, depth)
    assert drawn[15, 40, 0] == pytest.approx((0.2, 0.8)[front])


def test_sampling_writes_into_a_view() -> None:
    picture, out = noise(), np.zeros((60, 80, 3), np.uint8)
    view = out[10:30, 20:60]
    sample(picture, coordinates((80, 60))[10:30, 20:60].copy(), out=view)
    np.testing.assert_array_equal(out[10:30, 20:60], picture[10:30, 20:60])
    assert not out[:10].any()


def test_it_draws_where_opencv_has_no_ipp() -> None:
    script = (
        "from test_mesh_warp import *\n"
        "assert (MeshRasteriser(TRIANGLES, (80, 60)).draw(SQUARE, np.ones((4, 3), np.float32)) == 1).any()"
    )
    environment = {**os.environ, "OPENCV_IPP": "disabled", "PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
