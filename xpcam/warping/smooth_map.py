"""Where each pixel of a moving region comes from, drawn small: it changes smoothly but at eyes and lips."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats
from xpcam.warping.mesh_warp import MeshRasteriser, Places, coordinates
from xpcam.warping.openings import Region

FAR, NEAR = 4, 2  # the surroundings of the face are drawn at a quarter of the resolution, the face at half
ROOM: Final = 4  # pixels drawn beyond the region on each side, so that enlarging has neighbours at its border


class SmoothMap:
    """Draws a mesh's values over a region: the surroundings coarsely, the face finer, on top of them.

    Args:
        triangles: (T, 3) of the mesh.
        near: (T,) whether a triangle belongs to the face, of which the others surround it.
        region: of the picture, what can move.
        places: makes places of the picture of drawn values.
    """

    def __init__(
        self, triangles: NDArray[np.int32], near: NDArray[np.bool_], region: Region, places: Places
    ) -> None:
        self._region, self._places = region, places
        cells = [-(-side // FAR) + 2 * ROOM // FAR for side in region.size]
        small, half = (cells[0], cells[1]), (cells[0] * FAR // NEAR, cells[1] * FAR // NEAR)
        still = coordinates(small) * np.float32(FAR) + (region.corner + np.float32((FAR - 1) / 2 - ROOM))
        rim = np.zeros(int(triangles.max()) + 1, bool)
        rim[triangles[~near]] = True
        self._far = MeshRasteriser(triangles[rim[triangles].any(axis=1)], small, places.back(still))
        self._beneath = np.empty((half[1], half[0], 3), np.float32)
        self._near = MeshRasteriser(triangles[near], half, self._beneath)
        self._map = np.empty((cells[1] * FAR, cells[0] * FAR, 2), np.float32)

    def draw(self, points: Floats, values: Floats, depth: Floats) -> Floats:
        """The mesh with its vertices at `points`, relative to the region, as places of the picture.

        Returns:
            (h, w, 2) of the region; the caller may change it until the next call.
        """
        far = self._far.draw(_shrunk(points, FAR), values, depth)
        height, width = self._beneath.shape[:2]
        cv2.resize(far, (width, height), dst=self._beneath, interpolation=cv2.INTER_LINEAR)
        places = self._places.of(self._near.draw(_shrunk(points, NEAR), values, depth))
        size = (self._map.shape[1], self._map.shape[0])
        cv2.resize(places, size, dst=self._map, interpolation=cv2.INTER_LINEAR)
        width, height = self._region.size
        return self._map[ROOM : ROOM + height, ROOM : ROOM + width]


def _shrunk(points: Floats, by: int) -> Floats:
    """(V, 2) pixels of the region -> pixels of a drawing `by` times smaller that begins `ROOM` before it."""
    return np.asarray((points + np.float32(ROOM - (by - 1) / 2)) * np.float32(1 / by), np.float32)
