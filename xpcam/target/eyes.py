"""A target's eyes: what is painted of them once, and eyes that a clip's frames borrow from one of them.

A frame in which the clip's person blinks has no eyes to open. So the frames of a clip all borrow the
eyes of the frame in which they are open and look ahead: laid in by an affine map, with soft edges, in the
light of the frame; irises and shut lids are cut and painted for that one frame.
"""

import logging
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xpcam.eyes.eye_frame import filled
from xpcam.eyes.irises import EyeLayers, cut_irises
from xpcam.eyes.lids import ShutEyes, paint_shut
from xpcam.face.landmarks import (
    LEFT_EYE,
    LEFT_IRIS,
    LEFT_LID_SKIN,
    RIGHT_EYE,
    RIGHT_IRIS,
    RIGHT_LID_SKIN,
    rotation_matrix,
)
from xpcam.frame import FaceParams, Floats, Pixels

log = logging.getLogger(__name__)

CREASES = 7  # of the points of the lid's skin, those at its crease
EYES = (
    [*RIGHT_EYE, *RIGHT_IRIS, *RIGHT_LID_SKIN[:CREASES]],
    [*LEFT_EYE, *LEFT_IRIS, *LEFT_LID_SKIN[:CREASES]],
)
CORNERS = ([RIGHT_EYE[0], RIGHT_EYE[8]], [LEFT_EYE[0], LEFT_EYE[8]])
BEYOND, SOFT = 0.08, 0.07  # how far a borrowed eye reaches beyond its lids, and its edge, in its widths
GAIN = (0.75, 1.33)  # how much its light may be changed


@dataclass(frozen=True, slots=True)
class Eyes:
    """What the renderer moves of a target's eyes.

    Attributes:
        layers: whites and irises of the right and left eye; None where they cannot be made out.
        shut: painted lids.
        home: (2, 2, 3) maps from pixels of the target's picture to those of the picture that each eye
            is from; None for its own.
    """

    layers: tuple[EyeLayers, EyeLayers] | None
    shut: ShutEyes
    home: Floats | None = None

    def source(self, eye: int, where: Floats) -> Floats:
        """(h, w, 2) places of the target's picture -> of the picture that the eye is from."""
        if self.home is None:
            return where
        return np.asarray(cv2.transform(where, self.home[eye]), np.float32)


def own_eyes(picture: Pixels, landmarks: Floats) -> Eyes:
    """The eyes of the (H, W, 3) picture's own face, (478, 3) landmarks in pixels."""
    layers = cut_irises(picture, landmarks)
    if layers is None:
        log.warning("the target's irises cannot be made out: its eyes will not follow the person's gaze")
    return Eyes(layers, paint_shut(picture, landmarks))


class EyeDonor:
    """The frame of a clip whose eyes all its frames show.

    Args:
        picture: (H, W, 3).
        face: its face, eyes open.
    """

    def __init__(self, picture: Pixels, face: FaceParams) -> None:
        self._face = face
        self._eyes = own_eyes(picture, face.landmarks)
        self._plane = _plane(face)
        cut = [_cut_out(picture, face.landmarks[points, :2]) for points in EYES]
        self._patches = [patch for patch, _ in cut]
        self._corners = [corner for _, corner in cut]

    def give(self, picture: Pixels, face: FaceParams) -> tuple[FaceParams, Eyes]:
        """Lay the eyes into the (H, W, 3) picture of another frame, in place.

        Returns:
            That frame's face with them, and what the renderer needs of them.
        """
        homes, landmarks = [], face.landmarks.copy()
        turn = self._plane @ np.linalg.inv(_plane(face))
        for eye, (points, corners) in enumerate(zip(EYES, CORNERS, strict=True)):
            here, there = (one.landmarks[corners].mean(axis=0) for one in (face, self._face))
            home = np.column_stack([turn, there[:2] - turn @ here[:2]]).astype(np.float32)
            back = np.asarray(cv2.invertAffineTransform(home), np.float32)
            own = self._face.landmarks[points]
            landmarks[points, :2] = own[:, :2] @ back[:, :2].T + back[:, 2]
            depth = np.float32(face.pose.scale / self._face.pose.scale)
            landmarks[points, 2] = here[2] + (own[:, 2] - there[2]) * depth
            self._lay(eye, picture, back)
            homes.append(home)
        return replace(face, landmarks=landmarks), replace(self._eyes, home=np.stack(homes))

    def _lay(self, eye: int, picture: Pixels, back: Floats) -> None:
        patch, corner = self._patches[eye], self._corners[eye]
        height, width = patch.shape[:2]
        outline = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32) + corner
        outline = outline @ back[:, :2].T + back[:, 2]
        limit = picture.shape[1::-1]
        left, top = np.clip(np.floor(outline.min(axis=0)), 0, limit).astype(int)
        right, bottom = np.clip(np.ceil(outline.max(axis=0)) + 1, 0, limit).astype(int)
        if right - left < 2 or bottom - top < 2:
            return
        matrix = back.copy()
        matrix[:, 2] += back[:, :2] @ corner - np.array([left, top], np.float32)
        laid = cv2.warpAffine(patch, matrix, (int(right - left), int(bottom - top))).astype(np.float32)
        view = picture[top:bottom, left:right]
        cover = laid[..., 3:] * np.float32(1 / 255)
        edge = cover * (1.0 - cover)
        light = ((view * edge).sum(axis=(0, 1)) + 1.0) / ((laid[..., :3] * edge).sum(axis=(0, 1)) + 1.0)
        colour = np.minimum(laid[..., :3] * np.clip(light, *GAIN), 255.0)
        np.copyto(view, view + (colour - view) * cover, casting="unsafe")


def _plane(face: FaceParams) -> Floats:
    """(2, 2) what the face's pose makes of its frontal plane."""
    return rotation_matrix(face.pose.rotation)[:2, :2] * np.float32(face.pose.scale)


def _cut_out(picture: Pixels, points: Floats) -> tuple[Pixels, Floats]:
    """(h, w, 4) an eye with its lids, and how much each pixel covers; (2,) where its first pixel lies."""
    width = float(np.ptp(points[:, 0]))
    reach = (BEYOND + 3 * SOFT) * width + 3
    low = np.maximum(np.floor(points.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(points.max(axis=0) + reach), picture.shape[1::-1]).astype(int)
    crop = picture[low[1] : high[1], low[0] : high[0]]
    corner = low.astype(np.float32)
    hull = cv2.convexHull(np.asarray(points - corner, np.float32))[:, 0]
    grown = 2 * round(BEYOND * width) + 1
    mask = cv2.dilate(
        filled(np.asarray(hull, np.float32), crop.shape[:2]),
        cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grown, grown)),
    )
    cover = cv2.GaussianBlur(mask, (0, 0), max(0.8, SOFT * width)) * 255
    return np.dstack([crop, cover.astype(np.uint8)]), corner
