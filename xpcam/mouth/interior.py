"""What shows between parted lips: the target's own teeth where its picture shows them, else painted ones."""

import logging
from typing import Any, Final, Literal

import cv2
import numpy as np

from xpcam.errors import EngineError
from xpcam.face.landmarks import INNER_LIPS, LIPS_APART, gap
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.mouth.engine import MouthEngine, Steady, applied, carried_on
from xpcam.mouth.lips import Lips, surroundings
from xpcam.mouth.proxy import CROP, MARGIN, MouthProxy, crop_matrix, opening
from xpcam.mouth.showing import shape_of, shown_by
from xpcam.mouth.style import Style, style_of
from xpcam.warping.mesh_warp import Box, sample

log = logging.getLogger(__name__)

Interior = Literal["on", "drawn", "dark", "off"]

OWN_OPEN: Final = 0.045  # a target whose lips are this far apart (outer-eye distances) shows its own mouth
FADE: Final = (0.004, 0.02)  # on a closed-mouth target the interior comes in while the lips part this much
EDGE: Final = (0.6, 0.004)  # softness of the lips' inner edge, pixels at least, and outer-eye distances
BEHIND: Final = 0.01  # share of the opening that the target's own mouth may leave to be filled by itself
RIM: Final = np.ones((3, 3), np.uint8)  # what belongs to the opening is known to a pixel
SHADOW: Final = (0.02, 0.45)  # of a tongue on what it hangs over: how soft, outer-eye distances, how dark
SIDES: Final = (64, 192)  # least and most pixels a side of what is painted


class Drawings:
    """How often the inside of a mouth is drawn, and the last drawing; a clip's mouths share it.

    Args:
        every: of so many pictures one has it drawn anew, the others show the last one where the lips are now.
    """

    def __init__(self, every: int = 1) -> None:
        self.every, self.steady = every, Steady()
        self._last: tuple[int, Floats, Box | None] | None = None
        self._age = 0

    def last(self, size: int) -> tuple[Floats, Box | None] | None:
        """The drawing to show once more, and what of the crop it holds; None: draw it anew."""
        self._age += 1
        if self._last is None or self._last[0] != size or self._age >= self.every:
            return None
        return self._last[1:]

    def keep(self, size: int, drawn: Floats, box: Box | None) -> None:
        """Keep a drawing, which nobody changes any more."""
        self._last, self._age = (size, drawn, box), 0


class Mouth:
    """The interior of one target's mouth.

    Args:
        picture: (H, W, 3) the target's picture.
        params: its face.
        face: (478, 3) its frontal face.
        own: whether what the picture shows between the lips may be shown.
        interior: "on" and "drawn" paint teeth, gums and tongue, "dark" darkness, "off" nothing.
        engine: "on" has it make what is drawn belong to the face; without it, it stays as it is.
        drawings: how often it is painted; each time by default.
    """

    def __init__(
        self,
        picture: Pixels,
        params: FaceParams,
        face: Floats,
        *,
        own: bool = True,
        interior: Interior = "on",
        engine: MouthEngine | None = None,
        drawings: Drawings | None = None,
    ) -> None:
        self._drawings = drawings or Drawings()
        apart = gap(face, LIPS_APART)
        self._interior, self._engine = interior, engine if interior == "on" else None
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
        self._proxy = _proxy(params.pose, face, apart, self._style) if interior in ("on", "drawn") else None

    def shown(self, apart: float) -> float:
        """How much of the interior to show, 0 to 1, when the lips are `apart`, outer-eye distances."""
        if self._open:
            return 1.0
        if self._interior == "off":
            return 0.0
        share = float(np.clip((apart - self._gap - FADE[0]) / (FADE[1] - FADE[0]), 0.0, 1.0))
        return share * share * (3.0 - 2.0 * share)

    def fill(self, moving: Pixels, lips: Lips, shown: float) -> None:
        """Blend the interior into `moving`, the rendered part of the picture.

        Args:
            shown: 0 to 1.
        """
        found = surroundings(moving, lips)
        if found is None:
            return
        view, mask, sources, corner = found
        if self._open:
            interior = self._with_own(moving, lips, sources, mask, corner)
        else:
            interior = self._behind(moving, lips, mask, corner)
        contour = lips.params.landmarks[list(INNER_LIPS), :2] - corner
        edge = np.minimum(opening(np.asarray(contour, np.float32), mask.shape), cv2.dilate(mask, RIM))
        soft = cv2.GaussianBlur(edge, (0, 0), max(EDGE[0], EDGE[1] * lips.params.pose.scale))
        alpha = soft[..., None]
        if interior.shape[2] == 4:  # a tongue
            interior, cover = interior[..., :3], interior[..., 3:]
            alpha = np.maximum(alpha, cover)
            shadow = cv2.GaussianBlur(cover, (0, 0), 0.5 + SHADOW[0] * lips.params.pose.scale)[..., None]
            np.copyto(view, view * (1 - np.float32(SHADOW[1] * shown) * shadow), casting="unsafe")
        np.copyto(view, view + (interior - view) * (alpha * np.float32(shown)), casting="unsafe")

    def _with_own(self, moving: Pixels, lips: Lips, sources: Floats, mask: Floats, corner: Floats) -> Floats:
        """(h, w, 3 or 4) the target's own mouth as far as its picture shows it, and what is painted."""
        own = sample(self._own, sources)[..., None]
        picture = sample(self._picture, sources).astype(np.float32)
        if np.mean(own[mask > 0] < 0.5) < BEHIND and lips.tongue <= 0:
            return picture
        made = self._behind(moving, lips, mask, corner)
        if made.shape[2] == 4:
            own *= 1 - made[..., 3:]
        made[..., :3] += (picture - made[..., :3]) * own
        return made

    def _behind(self, moving: Pixels, lips: Lips, mask: Floats, corner: Floats) -> Floats:
        """(h, w, 3) what is painted at `corner` of the picture, where `mask` is 1.

        With a fourth channel where a tongue is out: how far it covers what lies before it, lip or teeth.
        """
        if self._proxy is None:
            return self._dark(mask)
        matrix = crop_matrix(lips.params.landmarks, self._proxy.size)
        drawn, box = self._drawings.last(self._proxy.size) or self._paint(
            moving, lips, mask, corner, matrix, self._proxy
        )
        matrix[:, 2] += matrix[:, :2] @ corner
        if box is not None:
            matrix[:, 2] -= (box[1].start, box[0].start)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(_warped(drawn, matrix, mask.shape, flags), np.float32)

    def _paint(
        self, moving: Pixels, lips: Lips, mask: Floats, corner: Floats, matrix: Floats, proxy: MouthProxy
    ) -> tuple[Floats, Box | None]:
        """The interior in the mouth's crop, and what of the crop was painted."""
        spare = 0 if self._drawings.every == 1 else proxy.size // 12  # for the lips to open until the next
        box = _seen(matrix, corner, mask.shape, proxy.size, 2 + spare)
        shape = shape_of(lips.face)
        told = shown_by(shape, lips.tongue, lips.params.shown)
        drawn, opened = self._drawn(lips, proxy, matrix, box, float(told[1]))
        cover = self._cover(lips, proxy, matrix, opened)
        if self._engine is not None:
            try:
                transfer = self._transfer(moving, lips, matrix, (drawn, box), opened, told, self._engine)
                transfer = self._drawings.steady.averaged(transfer, shape)
                if cover is not None:
                    transfer = carried_on(transfer, opened, cover)
                drawn = self._style.coloured(applied(transfer, drawn, proxy.size, box))
            except EngineError as error:  # a GPU that was lost
                log.warning("%s; the mouth is shown as it is drawn", error)
                self._engine = None
        if cover is not None:
            drawn = np.dstack([drawn, cover[box]])
        if self._drawings.every > 1:
            self._drawings.keep(proxy.size, drawn, box)
        return drawn, box

    def _drawn(
        self, lips: Lips, proxy: MouthProxy, matrix: Floats, box: Box, upper: float
    ) -> tuple[Floats, Floats]:
        """The interior drawn in a `box` of the mouth's crop, and the (size, size) opening.

        Args:
            upper: how bright its upper half is told to be.
        """
        params = lips.params
        contour = params.landmarks[list(INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]
        opened = opening(np.asarray(contour, np.float32), (proxy.size, proxy.size))
        return proxy.draw(lips.face, params.pose, matrix, opened, lips.tongue, box, upper), opened

    def _cover(self, lips: Lips, proxy: MouthProxy, matrix: Floats, opened: Floats) -> Floats | None:
        """(size, size) how far a tongue covers the lower lip; it comes out below the upper one."""
        if lips.tongue <= 0:
            return None
        before = proxy.over_lip(lips.face, lips.params.pose, matrix, lips.tongue)
        return np.asarray(before * np.maximum.accumulate(opened, axis=0), np.float32)

    def _transfer(
        self,
        moving: Pixels,
        lips: Lips,
        matrix: Floats,
        painted: tuple[Floats, Box],
        opened: Floats,
        told: Floats,
        engine: MouthEngine,
    ) -> Floats:
        """(64, 64, 6) how the drawing, `painted` in a box, must change to show what is `told`."""
        size, (drawn, box) = len(opened), painted
        whole = np.zeros((size, size, 3), np.float32)
        whole[box] = drawn
        share = np.float32(CROP / size)
        crop = matrix.copy()
        crop[:, 2] += crop[:, :2] @ lips.corner
        crop *= share
        crop[:, 2] += (share - 1) / 2
        around = _warped(moving, crop, (CROP, CROP), cv2.INTER_LINEAR)
        small, mask = (cv2.resize(one, (CROP, CROP), interpolation=_way(share)) for one in (whole, opened))
        style = np.concatenate([self._style.vector(), told])
        return engine.transfer(around, np.asarray(mask), np.asarray(small, np.float32), style)

    def _dark(self, mask: Floats) -> Floats:
        """(h, w, 3) flesh that falls off into the dark."""
        depth = cv2.GaussianBlur(mask, (0, 0), max(2.0, 0.05 * mask.shape[1]))[..., None]
        style = self._style
        return np.asarray(style.flesh + (style.throat - style.flesh) * np.minimum(depth * depth * 1.3, 1.0))


def _seen(matrix: Floats, corner: Floats, shape: tuple[int, ...], size: int, beyond: int) -> Box:
    """What of the mouth's crop a part of the picture shows that begins at `corner` and is `shape` large.

    With so many pixels `beyond` it.
    """
    height, width = shape
    ends = np.array([[0, 0], [width, 0], [0, height], [width, height]], np.float32) + corner
    inside = ends @ matrix[:, :2].T + matrix[:, 2]
    left, top = np.clip(np.floor(inside.min(axis=0)) - beyond, 0, size - 1).astype(int)
    right, bottom = np.clip(np.ceil(inside.max(axis=0)) + beyond + 1, (left + 1, top + 1), size).astype(int)
    return slice(int(top), int(bottom)), slice(int(left), int(right))


def _way(share: np.float32) -> int:
    return cv2.INTER_AREA if share < 1 else cv2.INTER_LINEAR


def _warped(picture: Pixels | Floats, matrix: Floats, shape: tuple[int, ...], flags: int) -> Any:
    return cv2.warpAffine(picture, matrix, shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _proxy(pose: Pose, face: Floats, apart: float, style: Style) -> MouthProxy:
    native = MARGIN * 0.55 * pose.scale
    size = int(np.clip(16 * round(native / 16), *SIDES))
    return MouthProxy(face, apart, style, size)
