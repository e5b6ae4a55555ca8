"""Lips of every colour and beards on every chin: what the generated portraits have too little of.

A tracker that learned pink lips in light skin takes the pink lower lip under a dark upper one for a tongue, and a
moustache's edge for the lip's. All functions change a (256, 256, 3) uint8 BGR crop in place.
"""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.face.landmarks import INNER_LIPS, OUTER_LIPS, outer_eye_distance

Random = np.random.Generator

UPPER_LIP = (*OUTER_LIPS[:11], *INNER_LIPS[10::-1])
LOWER_LIP = (*OUTER_LIPS[10:], OUTER_LIPS[0], INNER_LIPS[0], *INNER_LIPS[:9:-1])
MOUSTACHE = (*OUTER_LIPS[:11], 410, 322, 391, 393, 164, 167, 165, 92, 186)
BEARD = (
    *OUTER_LIPS[10:],
    OUTER_LIPS[0],
    57,
    212,
    214,
    135,
    169,
    170,
    140,
    171,
    175,
    396,
    369,
    395,
    394,
    364,
    434,
    432,
    287,
)


def lips(rng: Random, crop: Pixels, landmarks: Floats) -> None:
    """Another colour for each lip: darker or lighter than it was, pinker or browner."""
    shared = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.12, 3))
    for contour in (UPPER_LIP, LOWER_LIP):
        colour = shared * np.exp(rng.normal(0, 0.22)) * np.exp(rng.normal(0, 0.1, 3))
        _tint(crop, landmarks, contour, colour, softness=0.012)


def pigment(rng: Random, crop: Pixels, landmarks: Floats) -> None:
    """A dark upper lip and a dark rim of the lower one, whose middle stays pink: the border is not where lips meet."""
    dark = np.full(3, rng.uniform(0.35, 0.8)) * np.exp(rng.normal(0, 0.06, 3))
    for contour in (UPPER_LIP, LOWER_LIP):
        _tint(crop, landmarks, contour, dark, softness=0.012)
    inside = landmarks.copy()
    outer, inner = list(OUTER_LIPS), list(INNER_LIPS)
    inside[outer] += rng.uniform(0.15, 0.6) * (landmarks[inner] - landmarks[outer])
    pink = np.array([1.0, 1.0, rng.uniform(1.0, 1.3)]) / dark * rng.uniform(0.7, 1.1)
    _tint(crop, inside, LOWER_LIP, pink, softness=0.012)


def beard(rng: Random, crop: Pixels, landmarks: Floats) -> None:
    """Darker, rough skin above the mouth, at times about the chin as well."""
    colour = np.full(3, rng.uniform(0.25, 0.75)) * np.exp(rng.normal(0, 0.06, 3))
    for contour in (MOUSTACHE, BEARD)[: 1 + int(rng.random() < 0.6)]:
        softness = rng.uniform(0.012, 0.05)
        _tint(crop, landmarks, contour, colour, softness, roughness=rng.uniform(0.1, 0.5), rng=rng)


def _tint(
    crop: Pixels,
    landmarks: Floats,
    contour: tuple[int, ...],
    colour: Floats,
    softness: float,
    roughness: float = 0.0,
    rng: Random | None = None,
) -> None:
    """Multiply what lies inside a contour by a colour, with a soft edge, at times unevenly."""
    outline = landmarks[list(contour), :2]
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 6, 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 7, crop.shape[1::-1])
    if (high - low < 4).any():
        return
    view = crop[low[1] : high[1], low[0] : high[0]]
    mask: Floats = np.zeros(view.shape[:2], np.float32)
    cv2.fillPoly(mask, [np.round((outline - low) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    if roughness and rng is not None:
        mask *= np.clip(1.0 + roughness * rng.standard_normal(mask.shape), 0.0, 1.5)
    sigma = max(0.5, softness * outer_eye_distance(landmarks))
    mask = np.asarray(cv2.GaussianBlur(mask, (0, 0), sigma), np.float32)
    factor = 1.0 + mask[..., None] * (np.asarray(colour, np.float32) - 1.0)
    np.copyto(view, np.clip(view * factor, 0, 255), casting="unsafe")
