"""The inside of a mouth that a warp has opened: darkness, teeth, tongue, in a random light."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.tracking.crops import CROP

Random = np.random.Generator


def mouth_inside(rng: Random, crop: Pixels, lips: Floats, light: float) -> None:
    """Paint a random mouth interior into the inner-lip contour `lips` (20, 2) of a crop, in place.

    Args:
        lips: pixels of the crop, in the order of `face.landmarks.INNER_LIPS`.
        light: brightness of the face, 0 to 1.
    """
    low, high = np.floor(lips.min(axis=0)).astype(int) - 2, np.ceil(lips.max(axis=0)).astype(int) + 3
    low, high = np.maximum(low, 0), np.minimum(high, CROP)
    if (high - low < 3).any():
        return
    region = crop[low[1] : high[1], low[0] : high[0]]
    lips = lips - low
    inside = Interior(rng, region.shape[:2], lips, light).paint()
    if rng.random() < 0.5:  # teeth and gums in the colour of the lips: the edge between must be looked for
        rows, columns = np.clip(lips.round().astype(int).T[::-1], 0, np.array(region.shape[:2])[:, None] - 1)
        inside += (region[rows, columns].mean(axis=0) - inside) * np.float32(rng.uniform(0.15, 0.65))
    mask: Floats = np.zeros(region.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round(lips * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    mask = cv2.GaussianBlur(mask, (3, 3), 0)[..., None]
    region[:] = (region + (inside - region) * mask).astype(np.uint8)


class Interior:
    """One mouth interior, drawn in the axes of the lips."""

    def __init__(self, rng: Random, size: tuple[int, int], lips: Floats, light: float) -> None:
        self._rng, self._light = rng, light
        across = lips[10] - lips[0]
        self._span = max(float(np.linalg.norm(across)), 1.0)
        self._across = across / self._span
        self._top, self._bottom = lips[5], lips[15]
        self._gap = max(float(np.linalg.norm(self._bottom - self._top)), 1.0)
        self._down = (self._bottom - self._top) / self._gap
        self._slope = float(np.degrees(np.arctan2(across[1], across[0])))
        shade = rng.uniform((0.5, 0.5, 1.0), (0.9, 0.9, 1.4)) * 255 * rng.uniform(0.02, 0.22) * light
        self._canvas: Floats = np.zeros((*size, 3), np.float32) + shade.astype(np.float32)
        colour = rng.uniform(0.6, 1.0) * rng.uniform((0.7, 0.9, 1.0), (1.0, 1.0, 1.0))  # yellowish to white
        self._tooth = colour * 255 * np.clip(light * rng.uniform(0.7, 2.2), 0, 1)

    def paint(self) -> Floats:
        rng, gap = self._rng, self._gap
        kind = rng.random()
        if kind < 0.35 and gap < 0.45 * self._span:
            self.clenched()
        else:
            if rng.random() < 0.6:
                self.tongue()
            if rng.random() < 0.85:
                reach = (
                    gap * rng.uniform(0.2, 0.95)
                    if rng.random() < 0.5
                    else self._span * rng.uniform(0.04, 0.2)
                )
                self.row(self._top, reach)
            if rng.random() < 0.35:
                self.row(self._bottom, self._span * rng.uniform(0.03, 0.14), 0.85)
        return cv2.GaussianBlur(np.clip(self._canvas, 0, 255), (0, 0), rng.uniform(0.5, 1.8))

    def ellipse(self, at: Floats, across: float, along: float, colour: Floats) -> None:
        axes, centre = (max(1, int(across)), max(1, int(along))), (int(at[0]), int(at[1]))
        cv2.ellipse(self._canvas, centre, axes, self._slope, 0, 360, colour.tolist(), -1, cv2.LINE_AA)

    def tongue(self) -> None:
        rng, gap, span = self._rng, self._gap, self._span
        colour = np.array((90, 80, 170)) * self._light * rng.uniform(0.4, 1.2)
        at = self._bottom - self._down * gap * rng.uniform(-0.2, 0.2)
        self.ellipse(at, span * rng.uniform(0.25, 0.4), gap * rng.uniform(0.2, 0.6), colour)

    def row(self, rim: Floats, reach: float, shade: float = 1.0) -> None:
        """Teeth that show `reach` pixels beyond the lip at `rim`."""
        rng = self._rng
        at = rim + self._down * self._gap * rng.uniform(-0.1, 0.05)
        self.ellipse(at, self._span * rng.uniform(0.3, 0.5), reach, self._tooth * shade)
        if rng.random() < 0.6:
            self.gaps(0.8 * shade)

    def gaps(self, shade: float) -> None:
        """Faint lines between the teeth, where there are teeth."""
        step = self._span * self._rng.uniform(0.09, 0.15)
        middle = (self._top + self._bottom) / 2
        drawn = self._canvas.copy()
        for i in range(-4, 5):
            at = middle + self._across * step * (i + 0.5)
            ends = [np.round(at + self._down * self._gap * side).astype(int).tolist() for side in (-0.6, 0.6)]
            cv2.line(drawn, ends[0], ends[1], (self._tooth * shade).tolist(), 1, cv2.LINE_AA)
        self._canvas = np.minimum(self._canvas, drawn)

    def clenched(self) -> None:
        """Both rows of teeth closed, filling the opening; darker towards the corners."""
        rng = self._rng
        height, width = self._canvas.shape[:2]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        middle = (self._top + self._bottom) / 2
        across = (columns - middle[0]) * self._across[0] + (rows - middle[1]) * self._across[1]
        fall = 1 - rng.uniform(0.2, 0.9) * (across / (0.5 * self._span)) ** 2
        self._canvas = np.clip(fall, 0.1, 1)[..., None] * self._tooth.astype(np.float32)
        self.gaps(rng.uniform(0.6, 0.95))
        bite = self._top + self._down * self._gap * rng.uniform(0.3, 0.9)
        ends = [
            np.round(bite + self._across * self._span * side).astype(int).tolist() for side in (-0.6, 0.6)
        ]
        colour = (self._tooth * rng.uniform(0.2, 0.8)).tolist()
        cv2.line(self._canvas, ends[0], ends[1], colour, int(rng.integers(1, 4)), cv2.LINE_AA)
