"""Warp a picture by moving the vertices of a triangle mesh over it.

The mesh is drawn at its new place with every vertex coloured by its old one; the colours are then the
coordinates to sample the picture at, and `cv2.remap` samples it. Two OpenCV calls, no Python loops.
"""

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats, Pixels

_FOV = math.pi / 2
_NEAR, _FAR = 0.5, 2.0
_DEPTH_RANGE = 0.01  # depth only orders overlapping triangles; more would bend the interpolation


Box = tuple[slice, slice]
"""Rows and columns of a picture, from a whole number to another."""


def _settings() -> "cv2.TriangleRasterizeSettings":
    settings = cv2.TriangleRasterizeSettings()  # its default shading is white, not the vertices' colours
    settings.setShadingType(cv2.RASTERIZE_SHADING_SHADED)
    settings.setCullingMode(cv2.RASTERIZE_CULLING_NONE)
    settings.setGlCompatibleMode(cv2.RASTERIZE_COMPAT_INVDEPTH)  # depth 0 to 1, as it is kept inside
    return settings


class MeshRasteriser:
    """Draws per-vertex values over a fixed set of triangles into buffers that are reused.

    Args:
        triangles: (T, 3) int32 vertex indices.
        size: (width, height) of the drawing in pixels.
        background: (height, width, 3) float32, the values where no triangle is; zero by default.
    """

    def __init__(
        self, triangles: NDArray[np.int32], size: tuple[int, int], background: Floats | None = None
    ) -> None:
        width, height = size
        self.size = size
        self._background = np.zeros((height, width, 3), np.float32) if background is None else background
        self._triangles = np.ascontiguousarray(triangles, np.int32).reshape(1, -1, 3)
        self._values = np.empty((height, width, 3), np.float32)
        self._depth = np.empty((height, width), np.float32)
        self._camera = np.eye(4, dtype=np.float32)
        self._settings = _settings()

    def draw(
        self, points: Floats, values: Floats, depth: Floats | None = None, box: Box | None = None
    ) -> Floats:
        """Draw the mesh with its vertices at `points`.

        Args:
            points: (V, 2) pixels; a pixel's centre has whole coordinates.
            values: (V, 3) in 0 to 1, interpolated over each triangle.
            depth: (V,) any unit, larger is farther; where triangles overlap the nearest is seen.
            box: rows and columns to draw, by default all.

        Returns:
            (height, width, 3) float32, or of `box`, the background where no triangle is. The caller may read
            it until the next call; the rasteriser owns it.
        """
        rows, columns = box or (slice(0, self.size[1]), slice(0, self.size[0]))
        width, height = columns.stop - columns.start, rows.stop - rows.start
        drawn, nearest = self._values[rows, columns], self._depth[rows, columns]
        distance = np.ones(len(points), np.float32)
        if depth is not None:
            span = float(np.ptp(depth)) or 1.0
            distance += (depth - depth.min()) * (_DEPTH_RANGE / span)
        # As one row: a column of vertices fails where OpenCV has no IPP (ARM).
        vertices = np.empty((1, len(points), 3), np.float32)
        vertices[0, :, 0] = (points[:, 0] + (0.5 - columns.start - width / 2)) * (2 / height) * distance
        vertices[0, :, 1] = -(points[:, 1] + (0.5 - rows.start - height / 2)) * (2 / height) * distance
        vertices[0, :, 2] = -distance
        colours = np.ascontiguousarray(values, np.float32).reshape(1, -1, 3)
        np.copyto(drawn, self._background[rows, columns])
        nearest.fill(1.0)
        cv2.triangleRasterize(
            vertices, self._triangles, colours, drawn, nearest,
            self._camera, _FOV, _NEAR, _FAR, self._settings,
        )  # fmt: skip
        return drawn


def coordinates(size: tuple[int, int]) -> Floats:
    """(height, width, 2) float32, each pixel's own x and y."""
    width, height = size
    grid = np.empty((height, width, 2), np.float32)
    grid[..., 0] = np.arange(width)
    grid[..., 1] = np.arange(height)[:, None]
    return grid


class PictureSampler:
    """Samples one picture again and again, with four channels: with three, OpenCV takes twice as long.

    Args:
        picture: (H, W, 3), which is copied.
        size: (width, height) of what is sampled.
    """

    def __init__(self, picture: Pixels, size: tuple[int, int]) -> None:
        self._picture = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA)
        self._sampled = np.empty((size[1], size[0], 4), np.uint8)

    def into(self, out: Pixels, where: Floats) -> None:
        """Fill (h, w, 3) `out` from the places (h, w, 2) as `sample` does."""
        sample(self._picture, where, out=self._sampled)
        cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR, dst=out)


class Places:
    """Drawn values to places: one affine map, and the first two of three channels.

    Args:
        matrix: (2, 3) applied to the first two values.
    """

    def __init__(self, matrix: Floats) -> None:
        # Of three channels at once; OpenCV is ten times slower at making two of three.
        self._matrix = np.zeros((3, 4), np.float32)
        self._matrix[:2, :2], self._matrix[:2, 3] = matrix[:, :2], matrix[:, 2]

    def of(self, drawn: Floats) -> Floats:
        """(h, w, 3) values -> (h, w, 2) places."""
        moved = np.asarray(cv2.transform(drawn, self._matrix), np.float32)
        places = np.empty((*moved.shape[:2], 2), np.float32)
        cv2.mixChannels([moved], [places], [0, 0, 1, 1])
        return places

    def back(self, places: Floats) -> Floats:
        """(..., 2) places -> (..., 3) values, the third 0."""
        values = np.zeros((*places.shape[:-1], 3), np.float32)
        values[..., :2] = (places - self._matrix[:2, 3]) @ np.linalg.inv(self._matrix[:2, :2]).T
        return values


def sample(picture: NDArray[Any], where: Floats, out: NDArray[Any] | None = None) -> NDArray[Any]:
    """The picture at (h, w, 2) float32 x and y, bilinear, its edge repeated; into `out` if given."""
    # Two-channel coordinates need no second map; the stubs do not know that None says so.
    return cv2.remap(  # type: ignore[call-overload, no-any-return]
        picture, where, None, cv2.INTER_LINEAR, dst=out, borderMode=cv2.BORDER_REPLICATE
    )
