"""Puts the sampled face back where the target has its own: no seam, and sharp, for it is sampled once.

Each place of the target is looked up in the embedded face, there in the driving grid, and what that says in
the target again: small, so that every pixel of the picture knows where in it it comes from.
How far each is moved fades to nothing before the crop's border: what lies outside stays, and no two pictures
are laid over each other.
"""

from typing import Final

import cv2
import numpy as np

from xpcam.face.head_crop import crop_matrix
from xpcam.frame import Floats, Pixels, Pose
from xpcam.warping.grids import CELLS, FINE, chained, fade, places
from xpcam.warping.mesh_warp import coordinates, sample
from xpcam.warping.openings import Region
from xpcam.x2face.fitting import EmbeddedFace

BUFFERS: Final = 3  # pictures handed out in turn, so that none is written while it is still being read
FADES: Final = 0.14  # share of the crop's side within which motion fades to nothing


class Placer:
    """Draws a target's head anew. Pictures it returns stay as they are for two further calls.

    Args:
        picture: (height, width, 3) the target's, from which the face is sampled.
        bounds: (left, top, right, bottom) of the target itself within the picture, pixels.
        pose: of its head.
        face: its embedded face.
        coarse: how many pixels of the picture one drawn pixel takes, on a side.

    Attributes:
        region: what it draws of the picture.
    """

    def __init__(
        self,
        picture: Pixels,
        bounds: tuple[int, int, int, int],
        pose: Pose,
        face: EmbeddedFace,
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
        self._source, self._back = face.source, places(face.back, CELLS)
        self._unmoved = chained(face.back, face.source)
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
        self._first, self._moved = np.empty_like(self._source), np.empty_like(self._source)
        self._large = np.empty((across, across, 2), np.float32)
        self._where = np.empty_like(self._own)
        self._wide = self._widened(picture)
        self._sampled = np.empty((drawn[1], drawn[0], 4), np.uint8)
        self._outputs: list[Pixels] = []
        self._clean = [True] * BUFFERS  # whether it shows the picture beyond the region
        self._turn = 0

    def place(self, grid: Floats, share: float, beneath: Pixels | None = None) -> Pixels:
        """The picture with its face as a driving grid has it.

        Args:
            grid: (128, 128, 2) where the crop samples the embedded face; the identity leaves it as it is.
            share: 1 all of it, 0 the picture as it is; between, every pixel comes from between.
            beneath: (height, width, 3) another picture of the target in its place.
        """
        output = self._output(beneath)
        if self.region.empty:
            return output
        # Into the same memory for every picture: fresh memory costs more than what is done in it.
        first = sample(grid, self._back, out=self._first)
        moved = chained(first, self._source, self._moved)
        np.subtract(moved, self._unmoved, out=moved)  # a person at rest leaves the target as it is
        np.multiply(moved, self._free, out=moved)
        np.multiply(moved, np.float32(share), out=moved)
        cv2.resize(moved, self._large.shape[1::-1], dst=self._large, interpolation=cv2.INTER_LINEAR)
        np.add(self._large[self._slices], self._own, out=self._where)
        source = self._wide if beneath is None else self._widened(beneath)
        sample(source, self._where, out=self._sampled)
        face = output[self.region.slices]
        if self._sampled.shape[:2] == face.shape[:2]:
            cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR, dst=face)
        else:
            small = cv2.cvtColor(self._sampled, cv2.COLOR_BGRA2BGR)
            cv2.resize(small, self.region.size, dst=face, interpolation=cv2.INTER_LINEAR)
        return output

    def _output(self, beneath: Pixels | None) -> Pixels:
        """The buffer whose turn it is, showing what lies beyond the region."""
        if len(self._outputs) < BUFFERS:
            self._outputs.append(self._picture.copy())
        turn, self._turn = self._turn, (self._turn + 1) % BUFFERS
        output = self._outputs[turn]
        if beneath is not None or not self._clean[turn]:
            np.copyto(output, self._picture if beneath is None else beneath)
        self._clean[turn] = beneath is None
        return output

    def _widened(self, picture: Pixels) -> Pixels:
        """The target itself with four channels: with three, OpenCV samples half as fast."""
        return np.asarray(cv2.cvtColor(picture[self._inside.slices], cv2.COLOR_BGR2BGRA), np.uint8)
