"""The target's irises, cut out of its picture once, so that they can be moved within the visible eye.

An iris is found as the circle across which the picture brightens most (Daugman 1993), looked for on what the
lids leave free. What they hide of it is mirrored from what they show; where it was, the white of the eye is
continued. Per frame two small layers are sampled and laid into the eye's opening, under its lids.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.eyes.eye_frame import EyeFrame, box_of, filled, membrane
from xpcam.face.landmarks import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from xpcam.frame import Floats, Pixels
from xpcam.warping.mesh_warp import sample

BALL = 0.43  # radius of an eyeball in widths of the eye: 12 of 28 mm
RADII = np.linspace(0.14, 0.3, 12)  # of an iris, in widths of the eye
USUAL = 0.22
GRID = np.stack(np.meshgrid(*2 * [np.linspace(-0.13, 0.13, 11)]), axis=-1).reshape(-1, 2).astype(np.float32)
"""(C, 2) ways from where the tracker sees an iris to where it is looked for, in widths of the eye."""
CONTRAST = 12.0  # levels that the white must be brighter than the iris
INSIDE = ((0.88, 0.7), (0.55, 0.3))  # shares of its radius at which an iris is dark, and their weights
FREE = 0.2  # share of an iris' edge that must be free of lids
DOUBT = 8.0  # levels of contrast that 0.1 off the tracker's place, or 0.08 off the usual radius, must gain
COLUMNS, ROWS, WIDTH = 112, 80, 80.0  # the upright crop in which an iris is looked for, and the eye in it
MIDDLE = np.array([(COLUMNS - 1) / 2, (ROWS - 1) / 2], np.float32)
SIDEWAYS, UPWARDS = 0.28, 0.14  # how far an iris may be from the eye's middle, in widths of the eye
SHADE = (0.3, 0.05)  # how much darker the white is under the upper lid, and how far, in widths of the eye
EDGE = 0.8  # softness of the lids' edges, pixels
FADE = 0.1  # the layers come in while the iris moves the first tenth of its radius


@dataclass(frozen=True, slots=True)
class Circle:
    """An iris in eye coordinates (`EyeFrame`)."""

    centre: Floats
    radius: float


@dataclass(frozen=True, slots=True)
class EyeLayers:
    """One eye in layers.

    Attributes:
        frame: its coordinates.
        circle: where its iris is in the picture.
        corner: (2,) pixels of the picture, where the layers' first pixel lies.
        white: (h, w, 4) BGR of the eye's white where the iris was, and how much it covers.
        iris: (h, w, 4) BGR of the whole iris, and how much it covers.
    """

    frame: EyeFrame
    circle: Circle
    corner: Floats
    white: Pixels
    iris: Pixels

    def turn(self, view: Pixels, part: Floats, where: Floats, gaze: Floats) -> None:
        """Turn the eye in `view`, in place.

        Args:
            view: (h, w, 3) of the rendered picture around the eye.
            part: (h, w) drawn part, 0.75 inside the eye's opening.
            where: (h, w, 2) which place of the target's picture each pixel shows.
            gaze: (2,) yaw and pitch away from where the picture looks, radians.
        """
        opening = np.asarray(cv2.inRange(part, 0.7, 0.8), np.uint8)
        box = box_of(opening)
        way = self._way(gaze)
        shown = min(1.0, float(np.linalg.norm(way)) / (FADE * self.circle.radius))
        mask = opening[box].astype(np.float32) * np.float32(shown / 255**2)
        inside = cv2.GaussianBlur(mask, (0, 0), EDGE)[..., None]
        here = where[box] - self.corner
        white = sample(self.white, here).astype(np.float32)
        here -= self.frame.to_picture(way) - self.frame.centre
        iris = sample(self.iris, here).astype(np.float32)
        eye = view[box]
        result = eye + (white[..., :3] - eye) * (white[..., 3:] * inside)
        result += (iris[..., :3] - result) * (iris[..., 3:] * inside)
        np.copyto(eye, result, casting="unsafe")

    def _way(self, gaze: Floats) -> Floats:
        """(2,) how far the iris moves, eye coordinates; it never leaves the eye."""
        own = self.circle.centre
        limit = np.maximum(np.array([SIDEWAYS, UPWARDS], np.float32), np.abs(own))
        return np.asarray(np.clip(own + np.sin(gaze) * BALL, -limit, limit) - own, np.float32)


def cut_irises(picture: Pixels, landmarks: Floats) -> tuple[EyeLayers, EyeLayers] | None:
    """Both eyes of the (H, W, 3) picture's face in layers; None where an iris cannot be seen.

    Args:
        picture: the target.
        landmarks: (478, 2+) of its face, pixels.
    """
    contours = [landmarks[list(eye), :2] for eye in (RIGHT_EYE, LEFT_EYE)]
    frames = [EyeFrame.of(contour) for contour in contours]
    near = [landmarks[list(iris), :2].mean(axis=0) for iris in (RIGHT_IRIS, LEFT_IRIS)]
    circles = find_irises(picture, frames, contours, near)
    if circles is None:
        return None
    right, left = (
        _layers(picture, frame, contour, circle)
        for frame, contour, circle in zip(frames, contours, circles, strict=True)
    )
    return right, left


def find_irises(
    picture: Pixels, frames: list[EyeFrame], contours: list[Floats], near: list[Floats]
) -> list[Circle] | None:
    """The irises of both eyes, of one size; None where no circle is free enough and dark enough.

    Args:
        picture: (H, W, 3).
        frames: of the right and the left eye.
        contours: (16, 2) of each, pixels.
        near: (2,) where the tracker sees each iris, pixels.
    """
    starts = [frame.to_eye(place) for frame, place in zip(frames, near, strict=True)]
    tables = [_circles(picture, *eye) for eye in zip(frames, contours, starts, strict=True)]
    scores = np.stack([score for score, _ in tables])  # (2, C, R)
    radius = int(scores.max(axis=1).sum(axis=0).argmax())
    best = scores[:, :, radius].argmax(axis=1)
    contrasts = [float(contrast[at, radius]) for at, (_, contrast) in zip(best, tables, strict=True)]
    if not np.isfinite(scores[:, :, radius].max(axis=1)).all() or min(contrasts) < CONTRAST:
        return None
    return [Circle(start + GRID[at], float(RADII[radius])) for start, at in zip(starts, best, strict=True)]


def _circles(
    picture: Pixels, frame: EyeFrame, contour: Floats, start: Floats
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    """(C, R) score and contrast of circles about `start`, eye coordinates."""
    rows, columns = np.indices((ROWS, COLUMNS), np.float32)
    upright = frame.to_picture((np.stack([columns, rows], axis=-1) - MIDDLE) / WIDTH)
    grey = cv2.cvtColor(sample(picture, upright), cv2.COLOR_BGR2GRAY).astype(np.float32)
    grey = np.asarray(cv2.GaussianBlur(grey, (0, 0), 1.0), np.float32)
    opening = filled(frame.to_eye(contour) * WIDTH + MIDDLE, grey.shape) > 0.5
    angles = np.arange(32) * (2 * np.pi / 32)
    around = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    centres, radii = (start + GRID)[:, None, None], RADII[:, None, None]  # (C, R, A, 2) together
    outer, free = _looked_up(grey, opening, centres + (radii + 0.03) * around)
    inner = np.zeros_like(outer)
    for share, weight in INSIDE:
        dark, seen = _looked_up(grey, opening, centres + radii * share * around)
        inner += dark * np.float32(weight)
        free &= seen
    count = free.sum(axis=-1)
    contrast = ((outer - inner) * free).sum(axis=-1) / np.maximum(count, 1)
    doubt = DOUBT * ((GRID / 0.1) ** 2).sum(axis=-1)[:, None] + DOUBT * ((RADII - USUAL) / 0.08) ** 2
    return np.where(count >= FREE * len(angles), contrast - doubt, -np.inf), contrast


def _looked_up(
    grey: Floats, opening: NDArray[np.bool_], places: NDArray[np.floating]
) -> tuple[Floats, NDArray[np.bool_]]:
    """The upright crop's values at eye coordinates, and whether they lie in the opening."""
    pixels = np.round(places * WIDTH + MIDDLE).astype(np.intp)
    x, y = np.clip(pixels[..., 0], 0, COLUMNS - 1), np.clip(pixels[..., 1], 0, ROWS - 1)
    return grey[y, x], opening[y, x]


def _layers(picture: Pixels, frame: EyeFrame, contour: Floats, circle: Circle) -> EyeLayers:
    window = frame.window(picture.shape)
    corner = np.array([window[1].start, window[0].start], np.float32)
    crop = picture[window].astype(np.float32)
    rows, columns = np.indices(crop.shape[:2], np.float32)
    places = frame.to_eye(np.stack([columns, rows], axis=-1) + corner)
    under = _under_lid(places, frame.to_eye(contour[:9]))
    opening = (filled(contour - corner, crop.shape[:2]) > 0.5) & (under > 0.03)
    away = np.linalg.norm(places - circle.centre, axis=-1) / np.float32(circle.radius)
    iris = _whole_iris(crop, frame, corner, places, opening, circle)
    white = _white(crop, opening & (away > 1.2)) * (1.0 - SHADE[0] * np.exp(-under / SHADE[1]))[..., None]
    covers = (np.clip((1.3 - away) / 0.2, 0.0, 1.0), np.clip((1.06 - away) / 0.14, 0.0, 1.0))
    made = [
        np.clip(np.dstack([colour, cover * 255]), 0, 255).astype(np.uint8)
        for colour, cover in zip((white, iris), covers, strict=True)
    ]
    return EyeLayers(frame, circle, corner, made[0], made[1])


def _under_lid(places: Floats, lid: Floats) -> Floats:
    """(h, w) how far below the (9, 2) upper lid each place is, in widths of the eye; 0 above."""
    order = lid[:, 0].argsort()
    edge = np.interp(places[..., 0], lid[order, 0], lid[order, 1])
    return np.asarray(np.maximum(places[..., 1] - edge, 0.0), np.float32)


def _white(crop: Floats, seen: NDArray[np.bool_]) -> Floats:
    """(h, w, 3) the white of the eye, continued from where it is seen and not in the lashes' shade."""
    if not seen.any():
        return np.full_like(crop, 225.0)
    grey = crop.mean(axis=-1)
    bright = seen & (grey >= np.quantile(grey[seen], 0.3))
    scale = min(1.0, 48 / crop.shape[1])
    size = (max(4, round(crop.shape[1] * scale)), max(4, round(crop.shape[0] * scale)))
    share = np.asarray(cv2.resize(bright.astype(np.float32), size, interpolation=cv2.INTER_AREA), np.float32)
    small = cv2.resize(crop * bright[..., None], size, interpolation=cv2.INTER_AREA)
    small = small / np.maximum(share, 1e-3)[..., None]
    continued = membrane(np.asarray(small, np.float32), share < 0.25)
    return np.asarray(cv2.resize(continued, crop.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _whole_iris(
    crop: Floats,
    frame: EyeFrame,
    corner: Floats,
    places: Floats,
    opening: NDArray[np.bool_],
    circle: Circle,
) -> Floats:
    """(h, w, 3) the iris, what the lids hide of it taken from its mirror images, else its mean colour."""
    seen = opening.astype(np.float32)
    disc = opening & (np.linalg.norm(places - circle.centre, axis=-1) < circle.radius)
    result = np.broadcast_to(np.median(crop[disc], axis=0) if disc.any() else 0.0, crop.shape).copy()
    for flip in ((-1, -1), (-1, 1), (1, -1), (1, 1)):  # the last that sees something wins: the place itself
        mirrored = (places - circle.centre) * np.array(flip, np.float32) + circle.centre
        where = frame.to_picture(mirrored) - corner
        share = sample(seen, where)[..., None]
        result += (sample(crop, where) - result) * (share * share)
    return np.asarray(result, np.float32)
