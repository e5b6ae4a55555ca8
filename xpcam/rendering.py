"""Target + FaceParams -> Frame: move the target's own pixels, then what shows behind its lips.

Only the region that can move is drawn; the rest of the output is the target, converted once.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from xpcam import face_model
from xpcam.face_model import FACE_OVAL, FACE_POINTS, INNER_LIPS, LIPS_APART, apply_pose, unpose
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mesh_warp import MeshRasteriser
from xpcam.mouth import Mouth
from xpcam.target import OPENINGS, RING_PLACES, Target

BUFFERS = 3  # pictures handed out in turn, so that none is written while it is still being read
MARGIN = 64.0  # sampling coordinates are drawn with this much room around the picture, pixels
SKIN, MOUTH = 1.0, 0.5  # what the third drawn value says a pixel belongs to
EYES = slice(FACE_POINTS, FACE_POINTS + 32)
LIPS = slice(FACE_POINTS + 32, FACE_POINTS + len(OPENINGS))
RINGS = slice(FACE_POINTS + len(OPENINGS), None)


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
    def slices(self) -> tuple[slice, slice]:
        return slice(self.top, self.bottom), slice(self.left, self.right)


def bounding(points: Floats, margin: float, within: tuple[int, int, int, int]) -> Region:
    """The smallest region around (N, 2) points plus a margin, inside (left, top, right, bottom)."""
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin + 1
    left, top = (int(np.clip(np.floor(low[i]), within[i], within[2 + i] - 1)) for i in (0, 1))
    right, bottom = (int(np.clip(np.ceil(high[i]), (left, top)[i] + 1, within[2 + i])) for i in (0, 1))
    return Region(left, top, right, bottom)


class Renderer:
    """Renders one target. Pictures it returns stay as they are for two further calls."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._still = target.mesh.still
        self._region = bounding(self._still, 2.0, target.bounds)
        self._rasteriser = MeshRasteriser(target.mesh.triangles, self._region.size)
        self._outputs = [target.picture.copy() for _ in range(BUFFERS)]
        self._turn = 0
        height, width = target.picture.shape[:2]
        self._size = np.array([width + 2 * MARGIN, height + 2 * MARGIN], np.float32)
        self._to_map = np.array([[self._size[0], 0, 0, -MARGIN], [0, self._size[1], 0, -MARGIN]], np.float32)
        self._map = np.empty((*self._region.size[::-1], 2), np.float32)
        self._values = np.full((len(self._still), 3), SKIN, np.float32)
        self._values[LIPS, 2] = MOUTH
        self._face = unpose(target.params.landmarks, target.params.pose)
        self._mouth = Mouth(target.picture, target.params.landmarks[list(INNER_LIPS), :2], self._gap(self._face))

    def render(self, params: FaceParams) -> Pixels:
        """The target making the face that `params` (in pixels of the target's picture) describes."""
        face = unpose(params.landmarks, params.pose, depth=0.0)
        shown = self._mouth.shown(self._gap(face))
        points, depth = self._place(params, face)
        sources = self._sources(face, shown)
        self._values[:, :2] = np.clip((sources + MARGIN) / self._size, 0.0, 1.0)
        corner = np.array([self._region.left, self._region.top], np.float32)
        drawn = self._rasteriser.draw(points - corner, self._values, depth)
        cv2.transform(drawn, self._to_map, dst=self._map)
        output = self._outputs[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        rows, columns = self._region.slices
        # Where nothing is drawn the map points outside the picture: those pixels keep the still target.
        cv2.remap(
            self._target.picture, self._map, None, cv2.INTER_LINEAR,
            dst=output[rows, columns], borderMode=cv2.BORDER_TRANSPARENT,
        )  # fmt: skip
        if shown > 0:
            lips = bounding(params.landmarks[list(INNER_LIPS), :2] - corner, 4.0, (0, 0, *self._region.size))
            box = lips.slices
            self._mouth.fill(output[rows, columns][box], drawn[box][..., 2], self._map[box], shown)
        return output

    def _gap(self, face: Floats) -> float:
        return face_model.gap(face, LIPS_APART)

    def _place(self, params: FaceParams, face: Floats) -> tuple[Floats, Floats]:
        """(V, 2) vertices in pixels and (V,) their depth."""
        mesh = self._target.mesh
        weight = mesh.ring_weight[:, None]
        carried = np.tile((face - self._face)[list(FACE_OVAL)], (len(RING_PLACES), 1)) * weight
        ring = apply_pose(mesh.ring + carried, params.pose)
        ring[:, :2] = ring[:, :2] * weight + self._still[RINGS] * (1.0 - weight)
        moved = np.concatenate([params.landmarks[:FACE_POINTS], params.landmarks[list(OPENINGS)], ring])
        return moved[:, :2], moved[:, 2]

    def _sources(self, face: Floats, shown: float) -> Floats:
        """(V, 2) where each vertex takes its pixels from.

        Eyeballs and teeth do not move with lids and lips: what shows in an opening is what lies at that
        place of the unturned head. A lid that opens beyond the picture's own stretches what there is.
        """
        sources = self._still.copy()
        behind = apply_pose(face[list(OPENINGS)], self._target.params.pose)[:, :2]
        own = self._face[list(OPENINGS)]
        eyes = len(OPENINGS) - len(INNER_LIPS)
        middle = np.repeat(own[:eyes, 1].reshape(2, -1).mean(axis=1), eyes // 2)
        wider = np.abs(face[list(OPENINGS[:eyes]), 1] - middle) > np.abs(own[:eyes, 1] - middle)
        sources[EYES] = np.where(wider[:, None], self._still[EYES], behind[:eyes])
        sources[LIPS] += (behind[eyes:] - sources[LIPS]) * np.float32(shown)
        return sources
