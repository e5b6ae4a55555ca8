"""Sampling grids: where each cell of a crop takes its pixels from, -1 to 1 between the crop's outer edges.

The convention is that of torch's `grid_sample` with align_corners=False: the middle of the first of N cells
is 1 / N - 1. All of it is drawn small and enlarged once, for it changes smoothly.
"""

from typing import Final

import cv2
import numpy as np

from xpcam.frame import Floats
from xpcam.warping.mesh_warp import sample

CELLS: Final = 128
"""Cells of a network's grid, on each side."""
FINE: Final = 256
"""Cells of the side at which grids are put one after the other."""


def identity(cells: int) -> Floats:
    """(cells, cells, 2): every cell samples its own place."""
    along = (np.arange(cells, dtype=np.float32) * 2 + 1) / np.float32(cells) - 1
    return np.stack(np.meshgrid(along, along), axis=-1)


def enlarged(grid: Floats, cells: int, out: Floats | None = None) -> Floats:
    """(cells, cells, 2) of a (n, n, 2) grid, bilinear; beyond the outer cells' middles as there."""
    large = np.empty((cells, cells, 2), np.float32) if out is None else out
    cv2.resize(grid, (cells, cells), dst=large, interpolation=cv2.INTER_LINEAR)
    return large


def chained(first: Floats, then: Floats, out: Floats | None = None) -> Floats:
    """(n, n, 2): what `then` (m, m, 2) says at the places that `first` (n, n, 2) samples.

    With `out`, which takes it, `first` becomes places in cells of `then`.
    """
    cells = np.float32(then.shape[0])
    where = np.multiply(first, cells / 2, out=None if out is None else first)
    np.add(where, (cells - 1) / 2, out=where)
    return np.asarray(sample(then, where, out=out), np.float32)


def places(grid: Floats, cells: int) -> Floats:
    """(n, n, 2) where in the cells of another grid of `cells` a side those of -1 to 1 lie: for `sample`."""
    return np.asarray(grid * np.float32(cells / 2) + np.float32((cells - 1) / 2), np.float32)


def inverted(grid: Floats, start: Floats | None = None, rounds: int = 10) -> Floats:
    """(n, n, 2) the places at which the grid (n, n, 2) says where each of its own cells lies.

    Found in so many steps towards them; a grid that folds, or stretches fourfold, has none.
    """
    still = identity(grid.shape[0])
    found = still.copy() if start is None else start.copy()
    for _ in range(rounds):
        found += (still - chained(found, grid)) * np.float32(0.6)
        np.clip(found, -1.1, 1.1, out=found)
    return found


def fade(cells: int, box: tuple[float, float, float, float], reach: float) -> Floats:
    """(cells, cells) 0 outside a box, 1 well within it, smooth between.

    Args:
        cells: of each side.
        box: left, top, right and bottom, in shares of the side.
        reach: how far within the box it has become 1, in shares of the side.
    """
    along = (np.arange(cells, dtype=np.float32) + np.float32(0.5)) / np.float32(cells)

    def ramp(low: float, high: float) -> Floats:
        share = np.clip(np.minimum(along - low, high - along) / reach, 0.0, 1.0).astype(np.float32)
        return np.asarray(share * share * (3 - 2 * share), np.float32)

    left, top, right, bottom = box
    return np.asarray(ramp(top, bottom)[:, None] * ramp(left, right)[None], np.float32)
