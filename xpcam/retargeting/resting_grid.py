"""Where each place of the embedded face (X2Face) is at rest: what driving grids of calm moments share.

Grids of a face at rest say whose face drives, how it is framed, and what the network always gets wrong; none
of that is the target's. Only that lips are shut is kept out of rest: an embedded face has them apart, so
shutting them is something a face does.
"""

from functools import cache
from typing import Final

import cv2
import numpy as np

from xpcam.face.embedded_face import canonical
from xpcam.face.landmarks import OUTER_LIPS
from xpcam.frame import Floats
from xpcam.warping.grids import CELLS, chained, identity, inverted

AROUND: Final = 1.3  # size of what counts as mouth, over that of the lips
SOFT: Final = 2.5  # cells over which it ends
_FEW: Final = np.s_[24:-24:8, 24:-24:8]  # cells of the face that say how a head is held
BESIDE: Final = 9.0  # cells around the mouth that say how its place moves as a whole


def resting(grids: Floats) -> Floats:
    """(128, 128, 2) where in a person's crop each place of the embedded face lies at rest.

    Args:
        grids: (M, 128, 128, 2) driving grids of moments at rest.
    """
    found = inverted(np.asarray(grids.mean(axis=0), np.float32))
    mouth = _mouth()
    down = found[..., 1] - identity(CELLS)[..., 1]
    beside = 1 - mouth
    around = cv2.GaussianBlur(down * beside, (0, 0), BESIDE) / cv2.GaussianBlur(beside, (0, 0), BESIDE)
    found[..., 1] += np.asarray((around - down) * mouth, np.float32)
    return found


def since_rest(grid: Floats | None, rest: Floats | None) -> Floats | None:
    """(128, 128, 2) the driving grid that does to a face what this one does to the person's resting one.

    None where one of them is not known.
    """
    if grid is None or rest is None:
        return None
    return np.asarray(np.clip(chained(rest, grid), -1.0, 1.0), np.float32)


def held_as(rest: Floats, today: Floats) -> Floats:
    """A resting grid of another day with the head held, and the camera placed, as in today's."""
    still = identity(CELLS)
    places = still[_FEW].reshape(-1, 2)
    known = np.column_stack([places, np.ones(len(places), np.float32)])
    moved = np.linalg.lstsq(known, (today - rest)[_FEW].reshape(-1, 2), rcond=None)[0].astype(np.float32)
    return np.asarray(rest + still @ moved[:2] + moved[2], np.float32)


@cache
def _mouth() -> Floats:
    """(128, 128) 1 where the embedded face has its mouth, 0 away from it."""
    lips = canonical()[list(OUTER_LIPS)]
    middle = lips.mean(axis=0)
    outline = ((middle + (lips - middle) * np.float32(AROUND)) + 1) * np.float32(CELLS / 2) - np.float32(0.5)
    drawn = np.zeros((CELLS, CELLS), np.float32)
    cv2.fillPoly(drawn, [outline.round().astype(np.int32)], 1.0)
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), SOFT), np.float32)
