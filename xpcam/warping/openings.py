"""The eyes and the mouth, whose rims need more sharpness than the rest of the face."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats
from xpcam.warping.mesh_warp import MeshRasteriser


@dataclass(frozen=True, slots=True)
class Region:
    """A rectangle of the picture, pixels, right and bottom excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def size(self) -> tuple[int, int]:
        return self.right - self.left, self.bottom - self.top

    @property
    def empty(self) -> bool:
        return self.right <= self.left or self.bottom <= self.top

    @property
    def corner(self) -> Floats:
        return np.array([self.left, self.top], np.float32)

    @property
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def even_region(points: Floats, bounds: tuple[int, int, int, int]) -> Region:
    """The smallest region of even corners around (N, 2) points, inside (left, top, right, bottom)."""
    least, most = [bounds[i] + bounds[i] % 2 for i in (0, 1)], [bounds[i] - bounds[i] % 2 for i in (2, 3)]
    low, high = np.floor(points.min(axis=0) / 2) * 2, np.ceil((points.max(axis=0) + 1) / 2) * 2
    left, top = (int(np.clip(low[i], least[i], most[i] - 2)) for i in (0, 1))
    right, bottom = (int(np.clip(high[i], (left, top)[i] + 2, most[i])) for i in (0, 1))
    return Region(left, top, right, bottom)


class Opening:
    """One eye or the mouth with its rim, drawn at full resolution.

    Args:
        contour: landmark indices around it.
        triangles: the target's, of which those near the contour are taken.
        still: (V, 2) vertices of the unmoved picture.
        shape: width and height of what is drawn, in widths of the contour.
    """

    def __init__(
        self,
        contour: tuple[int, ...],
        triangles: NDArray[np.int32],
        still: Floats,
        shape: tuple[float, float],
    ) -> None:
        self._contour = list(contour)
        width = float(np.ptp(still[self._contour, 0])) + 4.0
        self._size = (max(8, round(width * shape[0])), max(8, round(width * shape[1])))
        reach = np.array(self._size) * 1.2
        centre = still[self._contour].mean(axis=0)
        near = (np.abs(still - centre) < reach).all(axis=1)
        self._rasteriser = MeshRasteriser(triangles[near[triangles].all(axis=1)], self._size)

    def draw(
        self, points: Floats, values: Floats, depth: Floats, within: tuple[int, int]
    ) -> tuple[Region, Floats]:
        """Draw it where its contour now lies; points and region are relative to a picture `within` large."""
        corner = np.round(points[self._contour].mean(axis=0) - np.array(self._size) / 2).astype(int)
        left, top = (int(corner[i]) for i in (0, 1))
        drawn = self._rasteriser.draw(points - corner.astype(np.float32), values, depth)
        region = Region(
            max(0, left),
            max(0, top),
            min(within[0], left + self._size[0]),
            min(within[1], top + self._size[1]),
        )
        rows, columns = region.slices
        return region, drawn[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
