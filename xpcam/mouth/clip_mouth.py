"""What a clip's person shows between the lips is painted out: it must not shine through another's words."""

import cv2
import numpy as np

from xpcam.eyes.eye_frame import filled
from xpcam.face.landmarks import INNER_LIPS, OUTER_LIPS
from xpcam.frame import FaceParams, Pixels

BEYOND, SOFT = 0.018, 0.008  # how far the paint reaches over the lips, and its edge, in outer-eye distances
SHADE = 0.55  # how dark the line between shut lips is, against the lips


def paint_out(picture: Pixels, face: FaceParams) -> None:
    """Fill what lies between the lips of the (H, W, 3) picture's face as if they were shut, in place."""
    inner, outer = (face.landmarks[list(lips), :2] for lips in (INNER_LIPS, OUTER_LIPS))
    reach = 4 * (BEYOND + SOFT) * face.pose.scale + 3
    limit = np.array(picture.shape[1::-1])
    left, top = np.clip(np.floor(inner.min(axis=0) - reach), 0, limit).astype(int)
    right, bottom = np.clip(np.ceil(inner.max(axis=0) + reach), 0, limit).astype(int)
    view = picture[top:bottom, left:right]
    if view.size == 0:
        return
    middles = np.clip(np.round((inner + outer) / 2), 0, limit - 1).astype(int)
    colour = np.median(picture[middles[:, 1], middles[:, 0]], axis=0).astype(np.float32) * np.float32(SHADE)
    grown = 2 * round(BEYOND * face.pose.scale) + 1
    open_lips = filled(inner - np.array([left, top], np.float32), view.shape[:2])
    mask = cv2.dilate(open_lips, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grown, grown)))
    cover = cv2.GaussianBlur(mask, (0, 0), max(0.6, SOFT * face.pose.scale))[..., None]
    np.copyto(view, view + (colour - view) * cover, casting="unsafe")
