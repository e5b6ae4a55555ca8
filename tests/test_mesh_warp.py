import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from xpcam.warping.mesh_warp import MeshRasteriser, PictureSampler, Places, coordinates, sample
from xpcam.warping.openings import Region
from xpcam.warping.smooth_map import SmoothMap

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


def test_a_sampler_gives_the_very_pixels_of_sample() -> None:
    picture = noise()
    where = coordinates((80, 60)) * np.float32(0.9) + np.array([-3.3, 2.7], np.float32)
    out = np.zeros((64, 90, 3), np.uint8)
    PictureSampler(picture, (80, 60)).into(out[2:62, 5:85], where)
    np.testing.assert_array_equal(out[2:62, 5:85], sample(picture, where))
    assert not out[:2].any() and not out[:, :5].any()


def test_places_go_there_and_back() -> None:
    places = Places(np.array([[200, 0, -30], [0, 150, -20]], np.float32))
    where = coordinates((80, 60))
    np.testing.assert_allclose(places.of(places.back(where)), where, atol=1e-4)


def test_a_smooth_map_is_that_of_a_full_drawing() -> None:
    region = Region(20, 10, 152, 108)
    places = Places(np.array([[400, 0, -100], [0, 400, -100]], np.float32))
    # A square within a square around it that stays: the inner one moves and is near.
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    still = np.concatenate([corners * 40 + 60, corners * 84 + 38]) + np.array([6, -4], np.float32)
    triangles = [[0, 1, 2], [0, 2, 3]]
    for a in range(4):
        b = (a + 1) % 4
        triangles += [[a, b, 4 + a], [b, 4 + b, 4 + a]]
    mesh, near = np.array(triangles, np.int32), np.arange(10) < 2
    moved = still.copy()
    moved[:4] += np.array([6.3, 4.1], np.float32)
    points, depth = moved - region.corner, np.zeros(8, np.float32)
    values = places.back(still)
    drawn = SmoothMap(mesh, near, region, places).draw(points, values, depth)
    assert drawn.shape == (98, 132, 2)
    background = places.back(coordinates(region.size) + region.corner)
    full = places.of(MeshRasteriser(mesh, region.size, background).draw(points, values, depth))
    off = np.abs(drawn - full).max(axis=2)
    assert off.max() < 0.5  # where the map is bent
    assert off.mean() < 0.03
    assert np.abs(full - coordinates(region.size) - region.corner).max() > 5
