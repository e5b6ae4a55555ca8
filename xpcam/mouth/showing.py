"""What a mouth may be expected to show for the shape of its lips."""

from typing import Final

import numpy as np

from xpcam.face.landmarks import LIPS_APART, gap
from xpcam.frame import Floats, Pixels
from xpcam.mouth.style import LUMA

CORNERS: Final = (78, 308)  # of the inner lips
MIDDLES: Final = (13, 14)
USUAL: Final = np.array(
    [
        (0.050, 0.273, -0.393, 0.836, 2.092),
        (-0.328, 1.671, -0.917, 1.894, 2.039),
        (-0.152, 0.290, 0.088, 1.663, 1.100),
        (0.352, -0.186, -0.116, -0.150, 0.552),
    ],
    np.float32,
)
"""Least squares over the portraits that the mouth engine learned from: .47 .50 .35 .04 of their spread."""
WIDE: Final = np.array((0.28, 0.95, 0.80, 0.14), np.float32)
"""What wide-open mouths show whose tongue rests; most portraits among those put it out."""
OPENING: Final = (0.10, 0.25)  # outer-eye distances between the lips over which that comes in
CLEAR: Final = np.array((-0.08, 0.12, 0.0, 0.0), np.float32)
"""The mean of all is a haze: darker, with brighter teeth, is a likely one of them."""
LIMITS: Final = (0.05, 1.3)
FEWEST: Final = 12  # pixels of which is said what they show


def shape_of(face: Floats) -> Floats:
    """(5,) shape of the inner lips: 1, how far apart, that over their width, how wide, how high the corners.

    Args:
        face: (478, 3) frontal face (`face.landmarks.unpose` with depth 0).
    """
    apart = gap(face, LIPS_APART)
    wide = max(float(abs(face[CORNERS[1], 0] - face[CORNERS[0], 0])), 0.05)
    lift = float(face[list(MIDDLES), 1].mean() - face[list(CORNERS), 1].mean())
    return np.array([1.0, min(apart, 0.4), min(apart / wide, 1.0), wide, lift], np.float32)


def usual(shape: Floats) -> Floats:
    """(..., 4) what mouths of `shape` (..., 5) show in the mean, over the brightness of teeth in full light.

    Mean brightness, that of the upper and of the lower half's brightest tenth, redness.
    """
    return np.asarray(np.clip(shape @ USUAL.T, *LIMITS), np.float32)


def seen_in(picture: Pixels, mask: Floats, white: float) -> Floats:
    """(4,) what an (h, w, 3) picture shows where `mask` is 1, over the brightness of teeth in full light.

    Mean brightness; that of the brightest tenth of the upper and of the lower half; redness in the mean.

    Args:
        white: that brightness, of 255.
    """
    inside = mask > 0.5
    if inside.sum() < FEWEST:
        return np.zeros(4, np.float32)
    bright, colours = picture @ LUMA, picture[inside].astype(np.float32)
    rows = np.arange(len(mask))[:, None] + np.zeros_like(mask)
    count = inside.sum(axis=0)
    middles = np.where(count > 0, (rows * inside).sum(axis=0) / np.maximum(count, 1), 0)
    upper, lower = inside & (rows <= middles), inside & (rows >= middles)
    red = (colours[:, 2] - colours[:, :2].mean(axis=1)).mean()
    found = [bright[inside].mean(), np.percentile(bright[upper], 90), np.percentile(bright[lower], 90), red]
    return np.asarray(np.array(found) / max(white, 1.0), np.float32)


def shown_by(shape: Floats, tongue: float = 0.0, seen: Floats | None = None) -> Floats:
    """(..., 4) what the product's mouths show.

    Args:
        tongue: how far it is out, 0 to 1.
        seen: (5,) what the person's mouth was seen to show, and how far to believe it.
    """
    low, high = OPENING
    wide = np.clip((shape[..., 1:2] - low) / (high - low), 0.0, 1.0) * (1.0 - tongue)
    mean = usual(shape) + CLEAR
    likely = np.asarray(mean + (WIDE - mean) * wide, np.float32)
    return likely if seen is None else likely + (seen[:4] - likely) * seen[4]
