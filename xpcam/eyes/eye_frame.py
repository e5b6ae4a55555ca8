"""One eye's own coordinates, and what both its lids and its iris are painted with."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats

AROUND = (0.75, 0.75)  # half width and half height of what an eye is painted in, in its widths
STEPS = 150


@dataclass(frozen=True, slots=True)
class EyeFrame:
    """Coordinates of one eye: its middle the origin, x from left to right corner, the corners 1 apart.

    Attributes:
        centre: (2,) pixels.
        across: (2,) unit vector from the left corner to the right one.
        width: pixels between the corners.
    """

    centre: Floats
    across: Floats
    width: float

    @classmethod
    def of(cls, contour: Floats) -> "EyeFrame":
        """The frame of an eye by its (16, 2) contour in pixels, whose points 0 and 8 are the corners."""
        left, right = sorted((contour[0], contour[8]), key=lambda corner: float(corner[0]))
        width = max(float(np.linalg.norm(right - left)), 1.0)
        return cls((left + right) / 2, (right - left) / np.float32(width), width)

    @property
    def _axes(self) -> Floats:
        return np.array([self.across, (-self.across[1], self.across[0])], np.float32)

    def to_eye(self, points: Floats) -> Floats:
        """(..., 2) pixels -> eye coordinates."""
        return np.asarray((points - self.centre) @ self._axes.T / np.float32(self.width), np.float32)

    def to_picture(self, points: Floats) -> Floats:
        """(..., 2) eye coordinates -> pixels."""
        return np.asarray(points @ self._axes * np.float32(self.width) + self.centre, np.float32)

    def window(self, shape: tuple[int, ...]) -> tuple[slice, slice]:
        """Rows and columns around the eye, within a picture of this (height, width, ...)."""
        reach = np.array(AROUND) * self.width + 3
        low = np.clip(np.floor(self.centre - reach), 0, (shape[1] - 4, shape[0] - 4)).astype(int)
        high = np.clip(np.ceil(self.centre + reach), low + 4, (shape[1], shape[0])).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def filled(polygon: Floats, shape: tuple[int, ...]) -> Floats:
    """(h, w) mask, 1 inside the (N, 2) polygon, between 0 and 1 at its edge."""
    mask = np.zeros(shape, np.uint8)  # of other types OpenCV draws no soft edges
    cv2.fillPoly(mask, [np.round(polygon * 16).astype(np.int32)], (255,), cv2.LINE_AA, 4)
    return mask.astype(np.float32) * np.float32(1 / 255)


def box_of(mask: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Rows and columns of a (h, w) mask outside which all is 0, and two more where there is room."""
    left, top, width, height = cv2.boundingRect(mask)
    return slice(max(0, top - 2), top + height + 2), slice(max(0, left - 2), left + width + 2)


def membrane(values: Floats, unknown: NDArray[np.bool_]) -> Floats:
    """(h, w, 3) values whose unknown part solves Laplace's equation between the known ones (Jacobi)."""
    known = np.where(unknown, 0.0, 1.0).astype(np.float32)
    blur = max(values.shape[:2]) / 8
    weight = cv2.GaussianBlur(known, (0, 0), blur)[..., None] + 1e-4
    guess = cv2.GaussianBlur(values * known[..., None], (0, 0), blur) / weight
    # The border itself is steadied, or a single dark lash would run through the hole as a streak.
    near = cv2.GaussianBlur(known, (0, 0), 1.0)[..., None] + 1e-4
    steady = cv2.GaussianBlur(values * known[..., None], (0, 0), 1.0) / near
    result = np.where(unknown[..., None], guess, steady).astype(np.float32)
    cross = np.array([[0, 0.25, 0], [0.25, 0, 0.25], [0, 0.25, 0]], np.float32)
    for _ in range(STEPS):
        np.copyto(result, cv2.filter2D(result, -1, cross), where=unknown[..., None])
    return result
