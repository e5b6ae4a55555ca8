"""What the person's mouth shows, in four numbers: the target's is told to show as much of teeth and tongue.

Brightness and redness over a white surface in the person's own light: no pixel of theirs goes on.
"""

from typing import Final

import cv2
import numpy as np

from xpcam.face.landmarks import INNER_LIPS
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mouth.proxy import CROP, crop_matrix, opening
from xpcam.mouth.showing import LIMITS, seen_in
from xpcam.mouth.style import LUMA, style_of

BELIEVED: Final = (12.0, 60.0)  # pixels of opening in the person's picture: too few to believe, enough
APART: Final = (3.0, 6.0)  # pixels of the crop between the lips: the contour is not so exact, it is
NEW: Final = 0.4  # share of what is seen now; the rest is what was seen before
LIGHT_EVERY: Final = 30  # pictures after which the person's light is looked at again
LIGHT: Final = 0.25  # share of it that is taken over


class MouthSeen:
    """Follows one person's mouth."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Somebody else may come."""
        self._last: Floats | None = None
        self._white, self._age = 0.0, 0

    def of(self, picture: Pixels, params: FaceParams) -> Floats:
        """(5,) float32: what `showing.usual` guesses, as it is seen, and how far to believe it, 0 to 1."""
        if self._age % LIGHT_EVERY == 0:
            white = max(float(style_of(picture, params, own_teeth=False).tooth @ LUMA), 1.0)
            self._white += (white - self._white) * (LIGHT if self._white else 1.0)
        self._age += 1
        matrix, mask = _opening_of(params)
        pixels = float(mask.sum()) / max(abs(float(np.linalg.det(matrix[:, :2]))), 1e-6)
        apart = float(mask.sum(axis=0).max())
        enough = (
            (pixels - BELIEVED[0]) / (BELIEVED[1] - BELIEVED[0]),
            (apart - APART[0]) / (APART[1] - APART[0]),
        )
        believed = float(np.clip(min(enough), 0.0, 1.0))
        if believed <= 0:
            self._last = None
            return np.zeros(5, np.float32)
        crop = cv2.warpAffine(picture, matrix, mask.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
        found = np.append(
            np.clip(seen_in(np.asarray(crop, np.uint8), mask, self._white), *LIMITS), believed
        ).astype(np.float32)
        self._last = found if self._last is None else self._last + (found - self._last) * np.float32(NEW)
        return self._last


def _opening_of(params: FaceParams) -> tuple[Floats, Floats]:
    """(2, 3) map of the picture to what of the mouth's crop is open, and (h, w) that: 1 inside the lips."""
    matrix = crop_matrix(params.landmarks).copy()
    contour = params.landmarks[list(INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]
    low = np.clip(np.floor(contour.min(axis=0)) - 1, 0, CROP - 2)
    width, height = np.clip(np.ceil(contour.max(axis=0)) + 2 - low, 2, CROP - low).astype(int)
    matrix[:, 2] -= low
    return matrix, opening(np.asarray(contour - low, np.float32), (int(height), int(width)))
