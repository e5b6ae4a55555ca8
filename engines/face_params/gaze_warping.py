"""Turn the eyes of a portrait: the iris moves within the eye opening, and white shows where it was."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.face import landmarks as fl

Random = np.random.Generator
SHADE = 0.9  # how much darker the white is where lids are near
SPREAD = (0.4, 0.1)  # standard deviation of the shift across and down, iris diameters
MOST = (0.75, 0.2)
CORNER = 0.27  # share of an eye's width next to each corner in which no iris's centre lies
SMALLEST = 3.0  # pixels of an iris's diameter beneath which there is nothing to see
LIMBUS = 1.12  # the iris's dark rim ends so many radii from its centre


def look_elsewhere(rng: Random, crop: Pixels, landmarks: Floats) -> Floats:
    """Move both irises of a crop alike, in place; the landmarks with the iris points moved along.

    Lids stay: who needs to know how they follow asks the teacher.
    """
    shift = np.clip(rng.normal(0, SPREAD), -np.array(MOST), MOST)
    moved = landmarks.copy()
    eyes = landmarks[list(fl.EYE_CORNERS), :2]
    across = (eyes[1] - eyes[0]) / max(float(np.linalg.norm(eyes[1] - eyes[0])), 1.0)
    points = [landmarks[list(iris), :2] for iris in (fl.RIGHT_IRIS, fl.LEFT_IRIS)]
    diameter = float(np.mean([np.linalg.norm(p[1] - p[3]) for p in points]))
    if diameter < SMALLEST:
        return moved
    openings = [landmarks[list(contour), :2] for contour in (fl.RIGHT_EYE, fl.LEFT_EYE)]
    room = np.array([_room(o @ across, float(p[0] @ across)) for o, p in zip(openings, points, strict=True)])
    aside = float(np.clip(shift[0] * diameter, min(room[:, 0].max(), 0), max(room[:, 1].min(), 0)))
    step = (aside * across + shift[1] * diameter * np.array([-across[1], across[0]])).astype(np.float32)
    for opening, iris in zip(openings, points, strict=True):
        _move(crop, opening, iris[0], step, diameter / 2 * LIMBUS)
    moved[[*fl.RIGHT_IRIS, *fl.LEFT_IRIS], :2] += step
    return moved


def _room(opening: Floats, iris: float) -> tuple[float, float]:
    """How far an iris's centre may go to either side before a corner of the eye hides too much of it."""
    low, high = float(opening.min()), float(opening.max())
    return low + CORNER * (high - low) - iris, high - CORNER * (high - low) - iris


def _move(crop: Pixels, opening: Floats, centre: Floats, step: Floats, radius: float) -> None:
    """Move an iris about `centre` by `step` within the contour `opening` (16, 2)."""
    low = np.maximum(np.floor(opening.min(axis=0) - 3).astype(int), 0)
    high = np.minimum(np.ceil(opening.max(axis=0) + 4).astype(int), crop.shape[1::-1])
    if (high - low < 4).any():
        return
    view = crop[low[1] : high[1], low[0] : high[0]]
    size = (int(high[0] - low[0]), int(high[1] - low[1]))
    seen: Floats = np.zeros(size[::-1], np.float32)
    cv2.fillPoly(seen, [np.round((opening - low) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    seen = cv2.GaussianBlur(seen, (0, 0), max(0.7, 0.15 * radius))
    was, goal = centre - low, centre - low + step
    eye = view.astype(np.float32)
    white = _spread(eye, seen**2 * (1 - _disc(size, was, 1.1 * radius)), radius)
    white *= (1 - SHADE * (1 - cv2.GaussianBlur(seen, (0, 0), 0.4 * radius)))[..., None]
    behind = eye + (white - eye) * (_disc(size, was, 1.1 * radius) * seen)[..., None]
    iris = _whole_iris(eye, seen, was, radius)
    shift = np.array([[1, 0, step[0]], [0, 1, step[1]]], np.float32)
    iris = cv2.warpAffine(iris, shift, size, borderMode=cv2.BORDER_REPLICATE)
    view[:] = (behind + (iris - behind) * (_disc(size, goal, radius) * seen)[..., None]).astype(np.uint8)


def _disc(size: tuple[int, int], centre: Floats, radius: float) -> Floats:
    """(h, w) 1 inside a circle, 0 outside, softly."""
    away = np.hypot(np.arange(size[0]) - centre[0], np.arange(size[1])[:, None] - centre[1])
    return np.asarray(np.clip((radius - away) / max(1.5, 0.4 * radius) + 0.5, 0, 1), np.float32)


def _spread(picture: Floats, share: Floats, reach: float) -> Floats:
    """The picture's colours where `share` (h, w) is, spread over everything (normalised convolution)."""
    colours = np.concatenate([picture * share[..., None], share[..., None]], axis=2) + np.float32(1e-3)
    near = (
        cv2.GaussianBlur(colours, (0, 0), 0.6 * reach) + cv2.GaussianBlur(colours, (0, 0), 3 * reach) * 0.02
    )
    return np.asarray(near[..., :3] / near[..., 3:], np.float32)


def _whole_iris(eye: Floats, seen: Floats, centre: Floats, radius: float) -> Floats:
    """The eye with what lids hide of its iris taken from the iris's opposite side."""
    turned = np.array([[-1, 0, 2 * centre[0]], [0, -1, 2 * centre[1]]], np.float32)
    size = eye.shape[1::-1]
    layers = np.concatenate([eye, seen[..., None]], axis=2)
    opposite = cv2.warpAffine(layers, turned, size, borderMode=cv2.BORDER_CONSTANT)
    inside = _disc(size, centre, radius)
    hidden = np.clip((1 - cv2.erode(seen, np.ones((3, 3)))) * opposite[..., 3], 0, 1)
    whole = eye + (opposite[..., :3] - eye) * hidden[..., None]
    known = np.maximum(cv2.erode(seen, np.ones((3, 3))), hidden) * inside
    return np.asarray(whole + (_spread(whole, known, radius) - whole) * (1 - known)[..., None], np.float32)
