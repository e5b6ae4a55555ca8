"""Shut eyes, painted once per target: lids of its own skin, and the lashes along their edge.

The skin that an open eye hides cannot be had from the picture, and stretching what lies above the eye
smears lashes and brow over it. So a second picture has lids painted over the eyes: skin continued from
around them, its grain taken from below, its light as on a ball.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from xpcam.eyes.eye_frame import EyeFrame, box_of, filled, membrane
from xpcam.face.landmarks import LEFT_BROW, LEFT_EYE, RIGHT_BROW, RIGHT_EYE
from xpcam.frame import Floats, Pixels
from xpcam.warping.mesh_warp import sample

MEETING = -0.1  # shut lids meet this share of the opening above the lower one: below it, they curve down
BEYOND = (0.14, 0.1, 0.14)  # widths of the eye painted above, below and beside it: lashes lie there
BROW = 0.12  # by which a brow is wider than its landmarks, in widths of the eye
UNDER_BROW = 0.6  # at most this share of the way from lid to brow is painted
GRID = 48  # columns of the grid on which the skin is continued: it is smooth
FINE = (0.3, 0.5)  # from here to here below the eye its skin is taken for fine, in widths of the eye
FEATHER = 0.04  # softness of the painted skin's border, in widths of the eye
GRAIN = 10.0  # the strongest grain taken over, levels
EDGE = 0.8  # softness of a lid's edge, pixels
LINE, HANGING = 0.023, 0.055  # thickness of the lash line, how far lashes hang, in outer-eye distances
DARK, HANGING_DARK = 0.85, 0.4  # how much of what is behind them they hide
THICKNESS = np.array([0.3, 0.65, 0.9, 1.0, 1.0, 0.85, 0.65, 0.4, 0.15], np.float32)  # outer corner to inner
_CUBIC = np.vander(np.linspace(-1.0, 1.0, 9), 4)
ARC = (_CUBIC @ np.linalg.pinv(_CUBIC)).astype(np.float32)
"""(9, 9) points along a lid -> the nearest ones on a cubic: lashes grow in an arc."""
BULGE, CONTACT = 0.2, 0.16  # how much lighter a lid's middle is, how much darker where the lids meet


@dataclass(frozen=True, slots=True)
class ShutEyes:
    """The target with its eyes shut.

    Attributes:
        picture: (H, W, 4) painted lids, BGR, and how much each pixel of them covers, 0 to 255.
        lashes: (2, 3) BGR of each eye's lashes.
    """

    picture: Pixels
    lashes: Floats

    def lay(self, view: Pixels, part: Floats, where: Floats, amount: float) -> None:
        """Lay the painted skin over `view`, in place.

        Args:
            view: (h, w, 3) of the rendered picture around an eye.
            part: (h, w) drawn part, 1 on skin.
            where: (h, w, 2) which place of `picture` each pixel shows.
            amount: 0 to 1.
        """
        lid = sample(self.picture, where)
        box = box_of(lid[..., 3])
        lid, under = lid[box].astype(np.float32), view[box]
        skin = cv2.inRange(part[box], 0.9, 1.1).astype(np.float32) * np.float32(amount / 255**2)
        cover = (cv2.GaussianBlur(skin, (0, 0), EDGE) * lid[..., 3])[..., None]
        np.copyto(under, under + (lid[..., :3] - under) * cover, casting="unsafe")

    def draw_lashes(
        self, eye: int, view: Pixels, edge: Floats, amount: float, shut: float, scale: float
    ) -> None:
        """Draw the lashes of a closing lid over `view`, in place.

        Args:
            eye: 0 the right one, 1 the left one.
            view: (h, w, 3) around it.
            edge: (9, 2) the upper lid's edge in pixels of `view`, outer corner to inner.
            amount: how much of them to show, 0 to 1.
            shut: how far the eye is shut, 0 to 1: lashes hang down the more.
            scale: outer-eye distance in pixels.
        """
        edge = ARC @ edge
        reach = HANGING * scale + 4
        left, top = np.maximum(np.floor(edge.min(axis=0) - reach), 0).astype(int)
        right, bottom = np.maximum(np.ceil(edge.max(axis=0) + reach), 0).astype(int)
        edge, view = edge - np.array([left, top], np.float32), view[top:bottom, left:right]
        if view.size == 0:
            return
        along = edge[8] - edge[0]
        down = np.array([-along[1], along[0]], np.float32) / max(float(np.linalg.norm(along)), 1e-3)
        down *= np.sign(down[1]) or 1.0
        thick, low = down * np.float32(LINE * scale), down * np.float32(HANGING * scale)
        # An open eye's lashes rise above the lid's edge; shut, they lie on the lid below.
        line = _band(view, edge - thick * np.float32(0.5 - 0.45 * shut), thick, 0.25 * LINE * scale)
        hanging = _band(view, edge - low * np.float32(0.45), low, 0.35 * HANGING * scale)
        # A polygon is drawn about a pixel too thick: on a small face that pixel is most of it.
        line *= np.float32(DARK * min(1.0, 0.35 + 0.25 * LINE * scale))
        hanging *= np.float32(HANGING_DARK * shut * shut)
        cover = np.maximum(hanging, line)[..., None] * np.float32(amount)
        np.copyto(view, view + (self.lashes[eye] - view) * cover, casting="unsafe")


def paint_shut(picture: Pixels, landmarks: Floats) -> ShutEyes:
    """Shut lids for both eyes of the (H, W, 3) picture's face, (478, 2+) landmarks in pixels."""
    shut = np.zeros((*picture.shape[:2], 4), np.uint8)
    points = landmarks[:, :2]
    lashes = []
    for eye, brow in ((RIGHT_EYE, RIGHT_BROW), (LEFT_EYE, LEFT_BROW)):
        lashes.append(_paint(shut, picture, points[list(eye)], points[list(brow)]))
    return ShutEyes(shut, np.stack(lashes))


def _meeting(contour: Floats) -> Floats:
    """(9, 2) where the lids of an eye with this (16, 2) contour meet, from its first corner to the other."""
    upper, lower = contour[:9], np.concatenate([contour[:1], contour[:7:-1]])
    return np.asarray(lower + (upper - lower) * np.float32(MEETING), np.float32)


def _paint(shut: Pixels, picture: Pixels, contour: Floats, brow: Floats) -> Floats:
    """Paint one lid into `shut`; gives the (3,) colour of its lashes."""
    frame = EyeFrame.of(contour)
    window = frame.window(picture.shape)
    crop = picture[window]
    corner = np.array([window[1].start, window[0].start], np.float32)
    eye = filled(contour - corner, crop.shape[:2])
    hole = _with_lashes(eye, frame.width)
    cv2.fillPoly(
        hole,
        [np.round((_brow_area(frame, contour, brow[5:]) - corner) * 16).astype(np.int32)],
        (0.0,),
        shift=4,
    )
    rows, columns = np.indices(crop.shape[:2], np.float32)
    places = frame.to_eye(np.stack([columns, rows], axis=-1) + corner)
    hair = cv2.dilate(
        filled(brow - corner, crop.shape[:2]), np.ones(2 * (max(1, round(BROW * frame.width)),))
    )
    skin = _continued(crop, np.maximum(hole, hair)) + _grain(crop, places, frame.width)
    skin *= _light(places, frame.to_eye(_meeting(contour)))[..., None]
    soft = cv2.GaussianBlur(hole, (0, 0), max(0.6, FEATHER * frame.width))
    painted = shut[window]
    covers = soft * 255 > painted[..., 3]
    painted[covers, :3] = np.clip(skin, 0, 255)[covers]
    painted[covers, 3] = 255 * soft[covers]
    return _darkest(crop, eye)


def _with_lashes(eye: Floats, width: float) -> Floats:
    """(h, w) mask of an eye -> of the eye with its lashes."""
    above, below, beside = (round(share * width) for share in BEYOND)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * beside + 1, above + below + 1))
    return np.asarray(cv2.dilate(eye, kernel, anchor=(beside, below)), np.float32)


def _brow_area(frame: EyeFrame, contour: Floats, brow: Floats) -> Floats:
    """(10, 2) pixels around all that is nearer to the (5, 2) brow's lower edge than to the upper lid."""
    lid, line = frame.to_eye(contour[:9]), frame.to_eye(brow)
    lid, line = lid[lid[:, 0].argsort()], line[line[:, 0].argsort()]
    line[:, 1] = np.interp(line[:, 0], lid[:, 0], lid[:, 1]) * (1 - UNDER_BROW) + line[:, 1] * UNDER_BROW
    return frame.to_picture(np.concatenate([line, line[::-1] - np.array([0.0, 1.0], np.float32)]))


def _continued(crop: Pixels, hole: Floats) -> Floats:
    """(h, w, 3) the crop with its surroundings continued smoothly into the (h, w) mask `hole`."""
    height, width = crop.shape[:2]
    scale = min(1.0, GRID / width)
    size = (max(4, round(width * scale)), max(4, round(height * scale)))
    small = np.asarray(cv2.resize(crop, size, interpolation=cv2.INTER_AREA), np.float32)
    unknown = cv2.dilate(cv2.resize(hole, size, interpolation=cv2.INTER_AREA), np.ones((3, 3))) > 0.02
    continued = membrane(small, unknown)
    return np.asarray(cv2.resize(continued, (width, height), interpolation=cv2.INTER_CUBIC), np.float32)


def _grain(crop: Pixels, places: Floats, width: float) -> Floats:
    """(h, w, 3) what is fine in the skin below the eye, mirrored up and down over all of the crop."""
    values = crop.astype(np.float32)
    rough = np.clip(values - cv2.GaussianBlur(values, (0, 0), max(1.0, 0.03 * width)), -GRAIN, GRAIN)
    low, high = FINE
    phase = np.abs((places[..., 1] - low) / (high - low) % 2.0 - 1.0)  # a triangle wave: 0 and 1 in turn
    down = (low + (high - low) * phase - places[..., 1]) * np.float32(width)
    rows, columns = np.indices(crop.shape[:2], np.float32)
    where = np.stack([columns, np.minimum(rows + down, len(crop) - 1)], axis=-1)
    return np.asarray(sample(rough, where.astype(np.float32)), np.float32)


def _light(places: Floats, meeting: Floats) -> Floats:
    """(h, w) factor: a lid bulges, and is darkest where it meets the other."""
    order = meeting[:, 0].argsort()
    height = places[..., 1] - np.interp(places[..., 0], meeting[order, 0], meeting[order, 1])
    ends = np.clip(1.0 - (2 * places[..., 0]) ** 2, 0.0, 1.0)
    bulge = np.exp(-(((height + 0.13) / 0.09) ** 2)) * ends
    contact = np.exp(-np.maximum(height, -height * 2.0) / 0.05) * np.sqrt(ends)
    return np.asarray(1.0 + BULGE * bulge - CONTACT * contact, np.float32)


def _darkest(crop: Pixels, mask: Floats) -> Floats:
    """(3,) mean colour of the darkest twelfth of the eye."""
    eye = crop[mask > 0.5].astype(np.float32)
    if len(eye) == 0:
        return np.zeros(3, np.float32)
    grey = eye.sum(axis=1)
    return np.asarray(eye[grey <= np.quantile(grey, 1 / 12)].mean(axis=0) * 0.7, np.float32)


def _band(view: Pixels, edge: Floats, down: Floats, blur: float) -> Floats:
    """(h, w) a soft band below the (9, 2) line `edge`, as thick as lashes are there, at most `down`."""
    mask = filled(np.concatenate([edge, (edge + THICKNESS[:, None] * down)[::-1]]), view.shape[:2])
    return np.asarray(cv2.GaussianBlur(mask, (0, 0), max(0.3, blur)), np.float32)
