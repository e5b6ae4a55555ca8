"""Warp a picture by moving the vertices of a triangle mesh over it.

The mesh is drawn at its new place with every vertex coloured by its old one; the colours are then the
coordinates to sample the picture at, and `cv2.remap` samples it. Two OpenCV calls, no Python loops.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats, Pixels

_FOV = math.pi / 2
_NEAR, _FAR = 0.5, 2.0
_DEPTH_RANGE = 0.01  # depth only orders overlapping triangles; more would bend the interpolation


def _settings() -> "cv2.TriangleRasterizeSettings":
    settings = cv2.TriangleRasterizeSettings()  # its default shading is white, not the vertices' colours
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    settings.setGlCompatibleMode(cv2.RASTERIZE_COMPAT_DISABLED)
    return settings


class MeshRasteriser:
    """Draws per-vertex values over a fixed set of triangles into buffers that are reused.

    Args:
        triangles: (T, 3) int32 vertex indices.
        size: (width, height) of the drawing in pixels.
    """

    def __init__(self, triangles: NDArray[np.int32], size: tuple[int, int]) -> None:
        width, height = size
        self.size = size
        self._triangles = np.ascontiguousarray(triangles, np.int32).reshape(-1, 1, 3)
        self._values = np.empty((height, width, 3), np.float32)
        self._depth = np.empty((height, width), np.float32)
        self._camera = np.eye(4, dtype=np.float32)
        self._settings = _settings()

    def draw(self, points: Floats, values: Floats, depth: Floats | None = None) -> Floats:
        """Draw the mesh with its vertices at `points`.

        Args:
            points: (V, 2) pixels; a pixel's centre has whole coordinates.
            values: (V, 3) in 0 to 1, interpolated over each triangle.
            depth: (V,) any unit, larger is farther; where triangles overlap the nearest is seen.

        Returns:
            (height, width, 3) float32, zero where no triangle is. The caller may read it until the next
            call; the rasteriser owns it.
        """
        width, height = self.size
        distance = np.ones(len(points), np.float32)
        if depth is not None:
            span = float(np.ptp(depth)) or 1.0
            distance += (depth - depth.min()) * (_DEPTH_RANGE / span)
        vertices = np.empty((len(points), 1, 3), np.float32)
        vertices[:, 0, 0] = (points[:, 0] + 0.5 - width / 2) * (2 / height) * distance
        vertices[:, 0, 1] = -(points[:, 1] + 0.5 - height / 2) * (2 / height) * distance
        vertices[:, 0, 2] = -distance
        colours = np.ascontiguousarray(values, np.float32).reshape(-1, 1, 3)
        self._values.fill(0.0)
        self._depth.fill(_FAR)
        cv2.triangleRasterize(
            vertices, self._triangles, colours, self._values, self._depth,
            self._camera, _FOV, _NEAR, _FAR, self._settings,
        )  # fmt: skip
        return self._values


def warp(
    picture: Pixels, before: Floats, after: Floats, triangles: NDArray[np.int32], depth: Floats | None = None
) -> Pixels:
    """Move a mesh over a picture and take the picture along; outside the mesh it stays.

    Args:
        picture: (H, W, 3) uint8.
        before, after: (V, 2) vertex positions in pixels.
        triangles: (T, 3) int32.
        depth: (V,) larger is farther.
    """
    height, width = picture.shape[:2]
    scale = np.array([1 / (2 * width), 1 / (2 * height)], np.float32)  # room for vertices outside the picture
    values = np.full((len(before), 3), 1.0, np.float32)
    values[:, :2] = np.clip(before * scale + 0.25, 0.0, 1.0)
    drawn = MeshRasteriser(triangles, (width, height)).draw(after, values, depth)
    sample_x = (drawn[..., 0] - 0.25) / scale[0]
    sample_y = (drawn[..., 1] - 0.25) / scale[1]
    moved = cv2.remap(picture, sample_x, sample_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return np.where(drawn[..., 2:] > 0.5, moved, picture)
