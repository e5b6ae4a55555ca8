"""What of a face's movement is expression: its blend shapes, and part of what they leave over.

Points carried over one by one bring the noise of the tracker along, and how they slide on a turning head.
Blend shapes know neither; but they know only 52 movements, so some of the rest is kept.
"""

from functools import cache

import numpy as np

from xpcam.face.model import face_model
from xpcam.frame import Floats
from xpcam.retargeting.outline import outline

KEPT = 0.85  # share of what the blend shapes do not explain that is carried over all the same


@cache
def _shapes() -> Floats:
    """(52, 478 * 3) what each ARKit shape adds to the landmarks."""
    shapes = face_model().landmark_expression
    return np.ascontiguousarray(shapes.reshape(len(shapes), -1))


@cache
def _shares() -> Floats:
    """(478, 1) share of the unexplained that is kept: nothing of it at the outline (see `outline`)."""
    return np.asarray(KEPT * (1.0 - outline().share), np.float32)


def explained(offsets: Floats, expression: Floats) -> Floats:
    """(478, 3) offsets from the neutral face as blend shapes and a share of the rest.

    Args:
        offsets: (478, 3) of the tracked landmarks, outer-eye distances.
        expression: (52,) change of the ARKit weights since neutral.
    """
    modelled = (expression @ _shapes()).reshape(offsets.shape)
    return np.asarray(modelled + _shares() * (offsets - modelled), np.float32)
