"""The lips of a rendered frame, and what of the picture their interior reaches over."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from xpcam.face.model import TONGUE_OUT
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.warping.openings import Region

HANGING: Final = 0.25  # a tongue that is out reaches so far below the lips at most, outer-eye distances


@dataclass(frozen=True, slots=True)
class Lips:
    """The lips of one rendered frame, and what is drawn around them.

    Attributes:
        params: the face that is drawn, pixels of the picture.
        face: (478, 3) its frontal face (`face.landmarks.unpose` with depth 0).
        corner: (2,) where the rendered part of the picture begins, pixels.
        region: the lips' surroundings within it.
        part: (h, w) of the region, 0.5 inside the lips.
        sources: (h, w, 2) of the region, where each pixel looks in the target's picture.
    """

    params: FaceParams
    face: Floats
    corner: Floats
    region: Region
    part: Floats
    sources: Floats

    @property
    def tongue(self) -> float:
        """How far it is out, 0 to 1."""
        return float(self.params.expression[TONGUE_OUT])


def surroundings(moving: Pixels, lips: Lips) -> tuple[Pixels, Floats, Floats, Floats] | None:
    """What an interior may reach over: (h, w, 3) of `moving`, (h, w) opening, (h, w, 2) sources, (2,) corner.

    None where the lips are shut. A tongue hangs over the lower lip, farther than their region reaches.
    """
    inside = cv2.inRange(lips.part, 0.4, 0.6)
    left, top, width, height = cv2.boundingRect(inside)
    if width == 0:
        return None
    rows = slice(max(top - 3, 0), min(top + height + 3, len(inside)))
    columns = slice(max(left - 3, 0), left + width + 3)
    mask, sources = (
        inside[rows, columns].astype(np.float32) * np.float32(1 / 255),
        lips.sources[rows, columns],
    )
    x, y = lips.region.left + columns.start, lips.region.top + rows.start
    below = round(lips.tongue * HANGING * lips.params.pose.scale)
    below = min(below, len(moving) - y - len(mask))
    if below > 0:
        mask = np.pad(mask, ((0, below), (0, 0)))
        sources = np.pad(sources, ((0, below), (0, 0), (0, 0)), mode="edge")
    view = moving[y : y + len(mask), x : x + mask.shape[1]]
    return view, mask, sources, lips.corner + np.array([x, y], np.float32)
