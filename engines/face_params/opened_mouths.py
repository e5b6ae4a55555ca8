"""What shows where a warp has parted lips: a rendered mouth for most, a painted one for the rest."""

import numpy as np

from engines.face_params import mouth_painting
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.mouth_mesh import MouthMesh
from engines.face_params.mouth_rendering import MouthRenderer, fill, place_mouth, random_look
from engines.face_params.warping import Warp
from xpcam.face import landmarks as fl
from xpcam.tracking.crops import CROP, transform

Random = np.random.Generator
RENDERED = 0.8  # share of the opened mouths, where there is a mesh; paintings show what no mesh does


class OpenedMouths:
    """Gives warped portraits a mouth's inside.

    Args:
        mesh: what to render; None paints every mouth.
    """

    def __init__(self, mesh: MouthMesh | None) -> None:
        self._renderer = MouthRenderer(mesh) if mesh else None

    def fill(self, rng: Random, crop: Pixels, warp: Warp, own: Floats, matrix: Floats) -> None:
        """Fill the mouth of `crop`, in place, if `warp` has opened it.

        Args:
            crop: (256, 256, 3), the warped portrait through `matrix` (2, 3).
            own: (51,) blend-shape weights of the portrait before the warp.
        """
        if not mouth_opened(rng, warp):
            return
        lips = transform(warp.after, matrix)[list(fl.INNER_LIPS), :2]
        light = float(np.clip(crop[64:192:4, 64:192:4].mean() / 160, 0.1, 1.0))
        if self._renderer is None or rng.random() >= RENDERED:
            mouth_painting.mouth_inside(rng, crop, lips, light)
            return
        rows, columns = np.clip(lips.round().astype(int).T[::-1], 0, CROP - 1)
        look = random_look(rng, light, crop[rows, columns].mean(axis=0))
        place = place_mouth(rng, warp, own, matrix)
        fill(crop, lips, self._renderer, place, look, softness=float(rng.uniform(0.4, 1.1)))


def mouth_opened(rng: Random, warp: Warp) -> bool:
    """Whether the warp parted the lips so far that what is between them must be made."""
    size = fl.outer_eye_distance(warp.before)
    before = float(np.linalg.norm(warp.before[14, :2] - warp.before[13, :2])) / size
    after = float(np.linalg.norm(warp.after[14, :2] - warp.after[13, :2])) / size
    return after > 0.03 and (after > 1.6 * before + 0.02 or (after > 0.06 and rng.random() < 0.15))
