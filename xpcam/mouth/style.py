"""What a target's picture says of the inside of its mouth: its light, its colours, how fine it is drawn."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from xpcam.face.landmarks import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.warping.mesh_warp import sample

SKIN: Final = (205, 425, 50, 280, 199, 200, 192, 416, 36, 266, 204, 424)  # cheeks and chin
SIZE: Final = 160  # width in pixels of the face that is looked at
LUMA: Final = np.array([0.114, 0.587, 0.299], np.float32)
USUAL_SKIN: Final = np.array([0.78, 0.94, 1.22], np.float32)  # blue, green, red of skin over its brightness
TINT: Final = 0.25  # how much of the skin's unusual hue is taken for the light's
COLOURFUL: Final = (0.018, 0.055)  # spread of hues in a picture without and with colour
# Blue, green, red of what lies behind lips, over a white surface in the same light.
TOOTH: Final = np.array([0.80, 0.885, 0.995], np.float32)
GUM: Final = np.array([0.42, 0.41, 0.72], np.float32)
TONGUE: Final = np.array([0.42, 0.40, 0.70], np.float32)

# The same over the lips' colour.
FLESH: Final = np.array([0.30, 0.28, 0.42], np.float32)
THROAT: Final = np.array([0.07, 0.07, 0.12], np.float32)


@dataclass(frozen=True, slots=True)
class Style:
    """Colours are (3,) float32 BGR, 0 to 255, in full light.

    Attributes:
        skin, lip, tooth, gum, tongue: as they are named.
        flesh: the inside of cheeks and lips, near the opening.
        throat: what no light reaches.
        fine: 0 for flat drawings to 1 for photographs with grain.
        colourful: 0 for pictures in shades of one hue to 1 for those in colours.
    """

    skin: Floats
    lip: Floats
    tooth: Floats
    gum: Floats
    tongue: Floats
    flesh: Floats
    throat: Floats
    fine: float
    colourful: float

    def coloured(self, made: Floats) -> Floats:
        """(..., 3) colours, those of a picture in shades of one hue in that hue."""
        if self.colourful >= 1.0:
            return made
        hue = self.skin / max(float(self.skin @ LUMA), 1.0)
        shades = (made @ LUMA)[..., None] * hue
        return np.asarray(
            np.minimum(shades + (made - shades) * np.float32(self.colourful), 255.0), np.float32
        )

    def vector(self) -> Floats:
        """(22,) float32, 0 to 1: what the mouth engine is told of the target."""
        parts = (self.skin, self.lip, self.tooth, self.gum, self.tongue, self.flesh, self.throat)
        return np.concatenate([*(part / 255 for part in parts), [self.fine]]).astype(np.float32)


def style_of(picture: Pixels, params: FaceParams, own_teeth: bool) -> Style:
    """The style of a face in (H, W, 3) `picture`.

    Args:
        own_teeth: its lips are apart: their colour is taken, where teeth show.
    """
    small, points = _face(picture, params)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), 2.0), np.float32)
    skin = _at(soft, points[list(SKIN)])
    lips = _at(soft, np.asarray((points[list(OUTER_LIPS)] + points[list(INNER_LIPS)]) / 2, np.float32))
    colourful = _colourful(soft)
    skin_tone, lip_tone = np.median(skin, axis=0), np.median(lips, axis=0)
    bright = max(float(skin_tone @ LUMA), 8.0)
    usual = 1.0 + (USUAL_SKIN - 1.0) * np.float32(colourful)
    tint = (skin_tone / bright / usual) ** np.float32(1.0 + (TINT - 1.0) * colourful)
    white = _white(small, points, bright) * tint / float(tint @ LUMA)

    def tone(albedo: Floats) -> Floats:
        grey = np.float32(albedo @ LUMA)
        return np.asarray(np.minimum((grey + (albedo - grey) * colourful) * white, 250.0), np.float32)

    def shaded(share: Floats) -> Floats:
        grey = np.float32(share @ LUMA)
        return np.asarray(lip_tone * (grey + (share - grey) * colourful), np.float32)

    tooth = tone(TOOTH)
    if own_teeth:
        tooth = _own_tooth(small, points[list(INNER_LIPS)], tooth)
    dark = np.float32(np.percentile(small @ LUMA, 1.0))
    return Style(
        skin=skin_tone,
        lip=lip_tone,
        tooth=tooth,
        gum=np.asarray(0.55 * tone(GUM) + 0.45 * lip_tone, np.float32),
        tongue=np.asarray(0.6 * tone(TONGUE) + 0.4 * lip_tone, np.float32),
        flesh=shaded(FLESH),
        throat=shaded(THROAT) + np.float32(0.5) * min(dark, np.float32(40.0)),
        fine=_fineness(small, points[list(SKIN)]),
        colourful=colourful,
    )


def _face(picture: Pixels, params: FaceParams) -> tuple[Floats, Floats]:
    """The face, `SIZE` wide, as float32, and all landmarks (478, 2) in it."""
    points = params.landmarks[:, :2]
    low = np.clip(np.floor(points.min(axis=0)), 0, np.array(picture.shape[1::-1]) - 2).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, low + 2, picture.shape[1::-1]).astype(int)
    cut = picture[low[1] : high[1], low[0] : high[0]]
    size = (SIZE, max(2, round(SIZE * cut.shape[0] / cut.shape[1])))
    small = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.float32)
    share = np.array(size, np.float32) / np.array(cut.shape[1::-1], np.float32)
    return small, np.asarray((points - low + 0.5) * share - 0.5, np.float32)


def _at(picture: Floats, points: Floats) -> Floats:
    return np.asarray(sample(picture, points[None])[0], np.float32)


def _colourful(face: Floats) -> float:
    """0 for a face in shades of one hue (black and white, sepia) to 1 for one in colours."""
    bright = face @ LUMA
    hue = face[bright > 30] / bright[bright > 30][:, None]
    spread = float(hue.std(axis=0).max()) if len(hue) else 0.0
    return float(np.clip((spread - COLOURFUL[0]) / (COLOURFUL[1] - COLOURFUL[0]), 0.0, 1.0))


def _white(face: Floats, points: Floats, skin: float) -> np.float32:
    """How bright a white thing in the face's light is: the whites of the eyes, or more than the skin."""
    mask = np.zeros(face.shape[:2], np.uint8)
    for eye in (RIGHT_EYE, LEFT_EYE):
        cv2.fillPoly(mask, [points[list(eye)].round().astype(np.int32)], 1)
    inside = (face @ LUMA)[mask > 0]
    eye_white = float(np.percentile(inside, 90)) if len(inside) > 8 else 0.0
    return np.float32(np.clip(max(1.1 * eye_white, 1.35 * skin), 60.0, 250.0))


def _own_tooth(face: Floats, lips: Floats, otherwise: Floats) -> Floats:
    """The bright pale part of what shows between the lips, if it can be teeth."""
    mask = cv2.fillPoly(np.zeros(face.shape[:2], np.uint8), [lips.round().astype(np.int32)], 1)
    inside = face[mask > 0]
    if len(inside) < 12:
        return otherwise
    pale = inside.min(axis=1)
    tooth = inside[pale >= np.percentile(pale, 75)].mean(axis=0)
    likely = tooth @ LUMA > 0.55 * (otherwise @ LUMA) and tooth.min() > 0.6 * tooth.max()
    return np.asarray(tooth * 1.05 if likely else otherwise, np.float32)


def _fineness(face: Floats, skin: Floats) -> float:
    """How much fine structure the skin has, 0 to 1, relative to its brightness."""
    grey = face @ LUMA
    fine = np.abs(grey - cv2.GaussianBlur(grey, (0, 0), 1.2)) / (grey + 20.0)
    around = _at(cv2.blur(fine, (9, 9)), skin)
    return float(np.clip(np.median(around) / 0.012, 0.0, 1.0))
