"""What shows between parted lips.

Until the mouth engine is there, this is the target's own teeth where its picture shows them, and a soft
dark interior elsewhere.
"""

import cv2
import numpy as np

from xpcam.frame import Floats, Pixels
from xpcam.mesh_warp import sample

OWN_OPEN = 0.045  # a target whose lips are this far apart (outer-eye distances) shows its own mouth
FADE = (0.004, 0.02)  # on a closed-mouth target the interior comes in while the lips part this much
EDGE = 0.9  # softness of the lips' inner edge, pixels
DARK = np.array([18.0, 14.0, 30.0], np.float32)  # BGR of an unlit throat


class Mouth:
    """The interior of one target's mouth.

    Args:
        picture: (H, W, 3) the target's picture.
        lips: (20, 2) its inner lip contour, pixels.
        gap: how far its lips are apart, outer-eye distances.
        own: whether what the picture shows between them may be shown.
    """

    def __init__(self, picture: Pixels, lips: Floats, gap: float, own: bool = True) -> None:
        self._gap = gap if own else 0.0
        self._open = own and gap > OWN_OPEN
        self._own = np.zeros(picture.shape[:2], np.float32)
        if self._open:
            cv2.fillPoly(self._own, [np.round(lips * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
            cv2.GaussianBlur(cv2.dilate(self._own, np.ones((3, 3))), (0, 0), 1.2, dst=self._own)
        self._picture = picture
        around = cv2.mean(picture[_box(lips, picture)])[:3]
        self._dark = DARK * 0.5 + np.array(around, np.float32) * 0.10
        self._flesh = np.array(around, np.float32) * np.array([0.22, 0.20, 0.34], np.float32)

    def shown(self, gap: float) -> float:
        """How much of the interior to show, 0 to 1, when the lips are `gap` apart."""
        if self._open:
            return 1.0
        share = float(np.clip((gap - self._gap - FADE[0]) / (FADE[1] - FADE[0]), 0.0, 1.0))
        return share * share * (3.0 - 2.0 * share)

    def fill(self, output: Pixels, part: Floats, sources: Floats, shown: float) -> None:
        """Blend the interior into `output`.

        Args:
            output: (h, w, 3) view of the rendered picture around the lips; written.
            part: (h, w) drawn part, 0.5 inside the lips.
            sources: (h, w, 2) where each pixel looks in the target's picture.
            shown: 0 to 1.
        """
        inside = cv2.inRange(part, 0.4, 0.6)
        if not inside.any():
            return
        mask = inside.astype(np.float32) * np.float32(1 / 255)
        depth = cv2.GaussianBlur(mask, (0, 0), max(2.0, 0.05 * mask.shape[1]))[..., None]
        cavity = self._flesh + (self._dark - self._flesh) * np.minimum(depth * depth * 1.3, 1.0)
        if self._open:
            own = sample(self._own, sources)[..., None]
            cavity += (sample(self._picture, sources) - cavity) * own
        alpha = (cv2.GaussianBlur(mask, (0, 0), EDGE) * np.float32(shown))[..., None]
        np.copyto(output, output + (cavity - output) * alpha, casting="unsafe")


def _box(points: Floats, picture: Pixels) -> tuple[slice, slice]:
    low = np.maximum(np.floor(points.min(axis=0)).astype(int) - 2, 0)
    high = np.minimum(np.ceil(points.max(axis=0)).astype(int) + 3, picture.shape[1::-1])
    return slice(int(low[1]), max(int(high[1]), int(low[1]) + 1)), slice(
        int(low[0]), max(int(high[0]), int(low[0]) + 1)
    )
