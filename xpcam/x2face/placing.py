"""Puts the sampled face back where the target has its own: no seam, and sharp, for it is sampled once.

Each place of the target is looked up in the embedded face, there in the driving grid, and what that says in
the target again: small, so that every pixel of the picture knows where in it it comes from.
How far each is moved fades to nothing before the crop's border: what lies outside stays, and no two pictures
are laid over each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, Self

import cv2
import numpy as np

from xpcam.face.embedded_face import canonical
from xpcam.face.head_crop import crop_matrix
from xpcam.face.landmarks import OUTER_LIPS
from xpcam.frame import Floats, Pixels, Pose
from xpcam.warping.grids import CELLS, FINE, chained, fade, identity, places
from xpcam.warping.mesh_warp import coordinates, sample
from xpcam.warping.openings import Region
from xpcam.x2face.fitting import EmbeddedFace
from xpcam.x2face.parting import Parting

BUFFERS: Final = 3  # pictures handed out in turn, so that none is written while it is still being read
FADES: Final = 0.36  # share of the crop's side within which motion fades to nothing: shoulders stay
AROUND_LIPS: Final = np.float32(1.3)  # size of what goes with the lips, over theirs
SOFT: Final = 4.0  # cells over which it ends
MIDDLE: Final = np.zeros(2, np.float32)


@dataclass(frozen=True, slots=True)
class _Way:
    """From the target's crop through the embedded face to its picture, each (256, 256, 2).

    Attributes:
        back: places in the cells of a driving grid.
        source: as in `EmbeddedFace`.
        unmoved: where the driving grid of a face at rest has each cell sample the picture, but for `lips`.
        lips: how far from itself it has those of the lips do so: where lips go, that goes.
    """

    back: Floats
    source: Floats
    unmoved: Floats
    lips: Floats

    @classmethod
    def of(cls, face: EmbeddedFace, resting: Floats) -> Self:
        back = places(face.back, CELLS)
        sampled = chained(sample(resting, back), face.source)
        near = sample(_near_lips(), places(face.back, FINE))[..., None]
        lips = np.asarray((sampled - identity(FINE)) * near, np.float32)
        return cls(back, face.source, sampled - lips, lips)


@cache
def _near_lips() -> Floats:
    """(256, 256) 1 where the embedded face has its lips, 0 away from them."""
    lips = canonical()[list(OUTER_LIPS)]
    middle = lips.mean(axis=0)
    outline = places(middle + (lips - middle) * AROUND_LIPS, FINE)
    drawn = cv2.fillPoly(np.zeros((FINE, FINE), np.float32), [outline.round().astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), SOFT), np.float32)


class Placer:
    """Draws a target's head anew. Pictures it returns stay as they are for two further calls.

    Args:
        picture: (height, width, 3) the target's.
        bounds: (left, top, right, bottom) of the target itself within the picture, pixels.
        pose: of its head.
        faces: its embedded face, in each step of `parting`.
        resting: (128, 128, 2) the driving grid that leaves the picture as it is, in each step.
        parting: of the target's lips; None: there is one step, the picture.
        coarse: how many pixels of the picture one drawn pixel takes, on a side.

    Attributes:
        region: what it draws of the picture.
    """

    def __init__(
        self,
        picture: Pixels,
        bounds: tuple[int, int, int, int],
        pose: Pose,
        faces: Sequence[EmbeddedFace],
        resting: Sequence[Floats],
        parting: Parting | None = None,
        coarse: float = 1.0,
    ) -> None:
        self._picture = picture
        self._inside = Region(*bounds)
        zoom, *shift = (float(crop_matrix(pose, FINE)[at]) for at in ((0, 0), (0, 2), (1, 2)))
        side = FINE / zoom
        corner = [round((-0.5 - along) / zoom + 0.5) for along in shift]  # the crop's first pixel
        pixels = max(2, round(side))
        cut = [min(max(bounds[i], corner[i]), bounds[i + 2]) for i in (0, 1)]
        end = [max(min(bounds[i + 2], corner[i] + pixels), cut[i]) for i in (0, 1)]
        self.region = Region(cut[0], cut[1], end[0], end[1])
        left, top, right, bottom = ((edge - corner[i % 2]) / pixels for i, edge in enumerate((*cut, *end)))
        self._ways = [_Way.of(face, grid) for face, grid in zip(faces, resting, strict=True)]
        self._still = identity(FINE)
        # From shares of the crop to pixels of the picture, as far as each place may move.
        self._free = fade(FINE, (left, top, right, bottom), FADES)[..., None] * np.float32(side / 2)
        drawn = [max(1, int(edge / coarse)) for edge in self.region.size]
        across = max(2, round(pixels / coarse))
        self._slices = tuple(
            slice(first := min(round(share * across), across - count), first + count)
            for share, count in zip((top, left), drawn[::-1], strict=True)
        )
        own = coordinates((drawn[0], drawn[1])) * np.float32(coarse) + np.float32((coarse - 1) / 2)
        self._own = own + (self.region.corner - self._inside.corner)
        self._first, self._moved, self._there = (np.empty_like(self._still) for _ in range(3))
        self._large = np.empty((across, across, 2), np.float32)
        self._where = np.empty_like(self._own)
        # With four channels: with three, OpenCV samples half as fast.
        self._whole = cv2.cvtColor(picture, cv2.COLOR_BGR2BGRA)
        self._wide, self._box, self._step = self._whole[self._inside.slices], parting and parting.box, 0
        steps = parting.pixels if parting else ()
        self._steps = [cv2.cvtColor(pixels, cv2.COLOR_BGR2BGRA) for pixels in steps]
        self._sampled = np.empty((drawn[1], drawn[0], 4), np.uint8)
        self._outputs: list[Pixels] = []
        self._turn = 0

    def place(self, grid: Floats, step: int = 0, aside: Floats = MIDDLE, zoom: float = 1.0) -> Pixels:
        """The picture with its face as a driving grid has it.

        Args:
            grid: (128, 128, 2) where the crop samples the embedded face.
            step: of the parting.
            aside: (2,) how far the crop has moved with the head, in halves of its side.
            zoom: how much larger it has become.
        """
        output = self._output()
        if self.region.empty:
            return output
        if step != self._step and self._box:
            self._whole[self._box], self._step = self._steps[step], step
        # Into the same memory for every picture: fresh memory costs more than what is done in it.
        way = self._ways[step]
        moved = chained(sample(grid, way.back, out=self._first), way.source, self._moved)
        np.subtract(moved, way.unmoved, out=moved)
        at_rest = np.add(np.subtract(moved, way.lips, out=self._first), self._still, out=self._first)
        np.subtract(moved, chained(at_rest, way.lips, self._there), out=moved)
        moved = self._carried(moved, aside, zoom)
        np.multiply(moved, self._free, out=moved)
        cv2.resize(moved, self._large.shape[1::-1], dst=self._large, interpolation=cv2.INTER_LINEAR)
        np.add(self._large[self._slices], self._own, out=self._where)
        sample(self._wide, self._where, out=self._sampled)
        face = output[self.region.slices]
        if self._sampled.shape[:2] == face.shape[:2]:
            cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR, dst=face)
        else:
            small = cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR)
            cv2.resize(small, self.region.size, dst=face, interpolation=cv2.INTER_LINEAR)
        return output

    def _carried(self, moved: Floats, aside: Floats, zoom: float) -> Floats:
        """How far each place is moved where the crop itself has moved and grown."""
        shrink = 1.0 / zoom
        offset = aside * np.float32(-shrink)
        middle = (FINE - 1) / 2 * (1 - shrink)
        matrix = np.array([[shrink, 0, middle], [0, shrink, middle]])
        matrix[:, 2] += offset * (FINE / 2)
        cv2.warpAffine(
            moved, matrix, (FINE, FINE), dst=self._there,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        np.multiply(self._still, np.float32(shrink - 1), out=moved)
        np.add(moved, self._there, out=moved)
        np.add(moved, offset, out=moved)
        return moved

    def _output(self) -> Pixels:
        """The buffer whose turn it is; beyond the region it shows the picture."""
        if len(self._outputs) < BUFFERS:
            self._outputs.append(self._picture.copy())
        turn, self._turn = self._turn, (self._turn + 1) % BUFFERS
        return self._outputs[turn]
