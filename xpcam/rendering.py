"""Target + FaceParams -> Frame: move the target's own pixels, then what shows behind its lips.

Only the region that can move is drawn; the rest of the output is the target, converted once. Where each
pixel comes from is drawn at half resolution and enlarged, for it changes smoothly; around eyes and lips,
where it does not, it is drawn again at full resolution.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam import face_landmarks
from xpcam.face_landmarks import (
    FACE_OVAL,
    FACE_POINTS,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_LIDS,
    LIPS_APART,
    RIGHT_EYE,
    RIGHT_LIDS,
    apply_pose,
    columns,
    unpose,
)
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mesh_warp import MeshRasteriser, coordinates, sample
from xpcam.mouth import Mouth
from xpcam.target import OPENINGS, RING_PLACES, Target

BUFFERS = 3  # pictures handed out in turn, so that none is written while it is still being read
MARGIN = 64.0  # sampling coordinates are drawn with this much room around the picture, pixels
SKIN, MOUTH = 1.0, 0.5  # what the third drawn value says a pixel belongs to
EYES = slice(FACE_POINTS, FACE_POINTS + len(RIGHT_EYE) + len(LEFT_EYE))
LIPS = slice(EYES.stop, EYES.stop + len(INNER_LIPS))
WATERLINE = 0.32  # how much of the eye's height the lower lid's bright rim takes beyond the landmarks
LASHES = (0.03, 0.6)  # thickness in outer-eye distances and darkness of the line of shut lashes
LASHES_FROM = 0.3  # they show from this far shut on
RINGS = slice(LIPS.stop, None)


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


class Renderer:
    """Renders one target. Pictures it returns stay as they are for two further calls."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._still = target.mesh.still
        height, width = target.picture.shape[:2]
        self._region = even_region(self._still, target.bounds)
        self._scale = np.array([width + 2 * MARGIN, height + 2 * MARGIN], np.float32)
        self._to_map = np.array(
            [[self._scale[0], 0, 0, -MARGIN], [0, self._scale[1], 0, -MARGIN]], np.float32
        )
        self._coarse = self._coarse_rasteriser()
        self._openings = [
            Opening(contour, target.mesh.triangles, self._still, shape)
            for contour, shape in ((RIGHT_EYE, (1.3, 1.0)), (LEFT_EYE, (1.3, 1.0)), (INNER_LIPS, (1.5, 1.2)))
        ]
        self._half_map = np.empty((self._region.size[1] // 2, self._region.size[0] // 2, 2), np.float32)
        self._map = np.empty((*self._region.size[::-1], 2), np.float32)
        self._outputs = [target.picture.copy() for _ in range(BUFFERS)]
        self._turn = 0
        self._values = np.full((len(self._still), 3), SKIN, np.float32)
        self._values[LIPS, 2] = MOUTH
        self._face = unpose(target.params.landmarks, target.params.pose)
        eyes = self._face[list(RIGHT_EYE + LEFT_EYE), 1]
        self._middle = np.repeat(eyes.reshape(2, -1).mean(axis=1), len(RIGHT_EYE))
        self._height = np.abs(eyes - self._middle)
        lips = target.params.landmarks[list(INNER_LIPS), :2]
        self._mouth = Mouth(target.picture, lips, face_landmarks.gap(self._face, LIPS_APART))

    def render(self, params: FaceParams) -> Pixels:
        """The target making the face that `params` (in pixels of the target's picture) describes."""
        face = unpose(params.landmarks, params.pose, depth=0.0)
        shown = self._mouth.shown(face_landmarks.gap(face, LIPS_APART))
        points, depth = self._place(params, face)
        self._values[:, :2] = np.clip((self._sources(face, shown) + MARGIN) / self._scale, 0.0, 1.0)
        points -= self._region.corner
        half = self._coarse.draw(np.asarray((points - 0.5) / 2, np.float32), self._values, depth)
        cv2.transform(half, self._to_map, dst=self._half_map)
        cv2.resize(self._half_map, self._region.size, dst=self._map, interpolation=cv2.INTER_LINEAR)
        eyes, mouth, lips = self._refine(points, depth)
        output = self._outputs[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        moving = output[self._region.slices]
        sample(self._target.picture, self._map, out=moving)
        for region, contour, lids in zip(eyes, (RIGHT_EYE, LEFT_EYE), (RIGHT_LIDS, LEFT_LIDS), strict=True):
            shut = self._shut(face, lids)
            if shut > LASHES_FROM and not region.empty:
                self._draw_lashes(moving, region, points[list(contour[:9])], shut, params.pose.scale)
        if shown > 0 and not mouth.empty:
            self._mouth.fill(moving[mouth.slices], lips, self._map[mouth.slices], shown)
        return output

    def _coarse_rasteriser(self) -> MeshRasteriser:
        size = (self._region.size[0] // 2, self._region.size[1] // 2)
        still = np.zeros((size[1], size[0], 3), np.float32)
        still[..., :2] = (coordinates(size) * 2 + 0.5 + self._region.corner + MARGIN) / self._scale
        return MeshRasteriser(self._target.mesh.triangles, size, still)

    def _refine(self, points: Floats, depth: Floats) -> tuple[list[Region], Region, Floats]:
        """Put sharply drawn sampling coordinates about eyes and mouth in place of the enlarged ones.

        Returns the eyes' regions, the mouth's, and which part each of the mouth's pixels belongs to.
        """
        regions: list[Region] = []
        for opening in self._openings:
            region, drawn = opening.draw(points, self._values, depth, self._region.size)
            regions.append(region)
            if not region.empty:  # a face may look over the picture's edge
                sharp = cv2.transform(drawn, self._to_map)
                cv2.copyTo(sharp, cv2.inRange(drawn[..., 2], 0.01, 2.0), self._map[region.slices])
        return regions[:2], regions[2], drawn[..., 2]

    def _place(self, params: FaceParams, face: Floats) -> tuple[Floats, Floats]:
        """(V, 2) vertices in pixels and (V,) their depth."""
        mesh = self._target.mesh
        weight = mesh.ring_weight[:, None]
        carried = np.tile((face - self._face)[list(FACE_OVAL)], (len(RING_PLACES), 1))
        ring = apply_pose(mesh.ring + carried, params.pose)
        ring[:, :2] = ring[:, :2] * weight + self._still[RINGS] * (1.0 - weight)
        behind = params.landmarks[list(OPENINGS)] + np.array([0.0, 0.0, params.pose.scale], np.float32)
        moved = np.concatenate([params.landmarks[:FACE_POINTS], behind, ring])
        return self._still + (moved[:, :2] - self._still) * mesh.free[:, None], moved[:, 2]

    def _sources(self, face: Floats, shown: float) -> Floats:
        """(V, 2) where each vertex takes its pixels from.

        Eyeballs and teeth do not move with lids and lips: what shows in an opening is what lies at that
        place of the unturned head. A lid that opens beyond the picture's own stretches what there is.
        """
        sources = self._still.copy()
        openings = face[list(OPENINGS)]
        behind = apply_pose(openings, self._target.params.pose)[:, :2]
        eyes = EYES.stop - EYES.start
        wider = np.abs(openings[:eyes, 1] - self._middle) > self._height
        sources[EYES] = np.where(wider[:, None], self._still[EYES], behind[:eyes])
        sources[LIPS] += (behind[eyes:] - sources[LIPS]) * np.float32(shown)
        for lids in (RIGHT_LIDS, LEFT_LIDS):
            upper, lower = columns(lids)  # a closing lower lid is taken from where its rim has ended
            height = self._still[upper] - self._still[lower]
            sources[lower] -= height * np.float32(WATERLINE * self._shut(face, lids))
        return sources

    def _shut(self, face: Floats, lids: tuple[tuple[int, int], ...]) -> float:
        """How far an eye is shut, 0 as in the target's picture to 1."""
        own = max(face_landmarks.gap(self._face, lids), 1e-3)
        return 1.0 - min(1.0, face_landmarks.gap(face, lids) / own)

    def _draw_lashes(self, moving: Pixels, region: Region, lid: Floats, shut: float, scale: float) -> None:
        """Darken the line where shut lids meet, as lashes do; `lid` is (N, 2) along the upper lid's edge."""
        line = np.zeros(region.size[::-1], np.float32)
        points = np.round((lid - region.corner) * 16).astype(np.int32)
        thickness = max(1, round(LASHES[0] * scale))
        cv2.polylines(line, [points], False, LASHES[1] * shut * shut, thickness, cv2.LINE_AA, 4)
        line = np.asarray(cv2.GaussianBlur(line, (0, 0), 0.5 * thickness), np.float32)
        view = moving[region.slices]
        np.copyto(view, view * (1.0 - line[..., None]), casting="unsafe")
