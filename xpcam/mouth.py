"""What shows between parted lips: the target's own teeth where its picture shows them, else painted ones."""

from dataclasses import dataclass
from typing import Final, Literal

import cv2
import numpy as np

from xpcam.face_landmarks import INNER_LIPS, LIPS_APART, gap
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.mesh_warp import sample
from xpcam.mouth_proxy import MARGIN, MouthProxy, crop_matrix, opening
from xpcam.mouth_style import Style, style_of

Interior = Literal["on", "dark", "off"]

OWN_OPEN: Final = 0.045  # a target whose lips are this far apart (outer-eye distances) shows its own mouth
FADE: Final = (0.004, 0.02)  # on a closed-mouth target the interior comes in while the lips part this much
EDGE: Final = 0.9  # softness of the lips' inner edge, pixels
RIM: Final = np.ones((3, 3), np.uint8)  # the interior reaches so far under the lips
SIDES: Final = (64, 192)  # least and most pixels a side of what is painted
TONGUE_OUT: Final = 51  # its place in `face_model.ARKIT`


@dataclass(frozen=True, slots=True)
class Lips:
    """The lips of one rendered frame, and what is drawn around them.

    Attributes:
        params: the face that is drawn, pixels of the picture.
        face: (478, 3) its frontal face (`face_landmarks.unpose` with depth 0).
        corner: (2,) where the drawn region begins in the picture, pixels.
        part: (h, w) drawn part, 0.5 inside the lips.
        sources: (h, w, 2) where each pixel looks in the target's picture.
    """

    params: FaceParams
    face: Floats
    corner: Floats
    part: Floats
    sources: Floats


class Mouth:
    """The interior of one target's mouth.

    Args:
        picture: (H, W, 3) the target's picture.
        params: its face.
        face: (478, 3) its frontal face.
        own: whether what the picture shows between the lips may be shown.
        interior: "on" paints teeth, gums and tongue, "dark" darkness, "off" nothing.
    """

    def __init__(
        self,
        picture: Pixels,
        params: FaceParams,
        face: Floats,
        *,
        own: bool = True,
        interior: Interior = "on",
    ) -> None:
        apart = gap(face, LIPS_APART)
        self._interior = interior
        self._gap = apart if own else 0.0
        self._open = own and apart > OWN_OPEN
        self._picture = picture
        self._own = np.zeros((1, 1), np.float32)
        if self._open:
            lips = params.landmarks[list(INNER_LIPS), :2]
            self._own = np.zeros(picture.shape[:2], np.float32)
            cv2.fillPoly(self._own, [np.round(lips * 16).astype(np.int32)], (1.0,), cv2.LINE_AA, 4)
            cv2.GaussianBlur(cv2.dilate(self._own, np.ones((3, 3))), (0, 0), 1.2, dst=self._own)
        self._style = style_of(picture, params, self._open)
        self._proxy = _proxy(params.pose, face, apart, self._style) if interior == "on" else None

    def shown(self, apart: float) -> float:
        """How much of the interior to show, 0 to 1, when the lips are `apart`, outer-eye distances."""
        if self._open:
            return 1.0
        if self._interior == "off":
            return 0.0
        share = float(np.clip((apart - self._gap - FADE[0]) / (FADE[1] - FADE[0]), 0.0, 1.0))
        return share * share * (3.0 - 2.0 * share)

    def fill(self, output: Pixels, lips: Lips, shown: float) -> None:
        """Blend the interior into `output`, the (h, w, 3) view of the rendered picture around the lips.

        Args:
            shown: 0 to 1.
        """
        inside = cv2.inRange(lips.part, 0.4, 0.6)
        left, top, width, height = cv2.boundingRect(inside)
        if width == 0:
            return
        rows = slice(max(top - 3, 0), top + height + 3)
        columns = slice(max(left - 3, 0), left + width + 3)
        mask = inside[rows, columns].astype(np.float32) * np.float32(1 / 255)
        corner = lips.corner + np.array([columns.start, rows.start], np.float32)
        interior = self._painted(lips, corner, mask.shape) if self._proxy else self._dark(mask)
        if self._open:
            sources = lips.sources[rows, columns]
            own = sample(self._own, sources)[..., None]
            interior += (sample(self._picture, sources) - interior) * own
        edge = cv2.GaussianBlur(cv2.dilate(mask, RIM), (0, 0), EDGE)
        alpha = (edge * np.float32(shown))[..., None]
        view = output[rows, columns]
        np.copyto(view, view + (interior - view) * alpha, casting="unsafe")

    def _painted(self, lips: Lips, corner: Floats, shape: tuple[int, ...]) -> Floats:
        """(h, w, 3) teeth, gums and tongue at `corner` of the picture."""
        assert self._proxy is not None
        params, size = lips.params, self._proxy.size
        matrix = crop_matrix(params.landmarks, size)
        contour = params.landmarks[list(INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]
        mask = opening(np.asarray(contour, np.float32), size)
        tongue = float(params.expression[TONGUE_OUT])
        crop = self._proxy.draw(lips.face, params.pose, matrix, mask, tongue)
        matrix[:, 2] += matrix[:, :2] @ corner
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(crop, matrix, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
        )

    def _dark(self, mask: Floats) -> Floats:
        """(h, w, 3) flesh that falls off into the dark."""
        depth = cv2.GaussianBlur(mask, (0, 0), max(2.0, 0.05 * mask.shape[1]))[..., None]
        style = self._style
        return np.asarray(style.flesh + (style.throat - style.flesh) * np.minimum(depth * depth * 1.3, 1.0))


def _proxy(pose: Pose, face: Floats, apart: float, style: Style) -> MouthProxy:
    native = MARGIN * 0.55 * pose.scale
    size = int(np.clip(16 * round(native / 16), *SIDES))
    return MouthProxy(face, apart, style, size)
