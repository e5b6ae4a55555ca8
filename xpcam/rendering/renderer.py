"""Target + FaceParams -> Frame: move the target's own pixels, then what shows behind its lips.

Only the region that can move is drawn; the rest of the output is the target, converted once. Where each
pixel comes from is drawn small and enlarged, for it changes smoothly; around eyes and lips, where it does
not, it is drawn again at full resolution.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import (
    FACE_OVAL,
    FACE_POINTS,
    INNER_LIPS,
    LEFT_EYE,
    LEFT_LID_SKIN,
    LEFT_LIDS,
    LIPS_APART,
    RIGHT_EYE,
    RIGHT_LID_SKIN,
    RIGHT_LIDS,
    apply_pose,
    columns,
    unpose,
)
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.interior import Drawings, Interior, Mouth
from xpcam.mouth.lips import Lips
from xpcam.rendering.relighting import Relighter
from xpcam.target.eyes import Eyes, own_eyes
from xpcam.target.still import OPENINGS, RING_PLACES, Target
from xpcam.warping.mesh_warp import PictureSampler, Places
from xpcam.warping.openings import Opening, Region, even_region
from xpcam.warping.smooth_map import SmoothMap

BUFFERS = 3  # pictures handed out in turn, so that none is written while it is still being read
MARGIN = 64.0  # sampling coordinates are drawn with this much room around the picture, pixels
SKIN, EYE, MOUTH = 1.0, 0.75, 0.5  # what the third drawn value says a pixel belongs to
EYES = slice(FACE_POINTS, FACE_POINTS + len(RIGHT_EYE) + len(LEFT_EYE))
LIPS = slice(EYES.stop, EYES.stop + len(INNER_LIPS))
WATERLINE = 0.32  # how much of the eye's height the lower lid's bright rim takes beyond the landmarks
LOOK_FROM = 0.003  # radians of gaze below which nothing is moved
LID = (0.15, 0.5)  # a painted lid takes the place of the stretched one while the eye shuts this far
RINGS = slice(LIPS.stop, None)
LIDS = (RIGHT_LIDS, LEFT_LIDS)
LID_SKIN = [*RIGHT_EYE, *LEFT_EYE, *RIGHT_LID_SKIN[:7], *LEFT_LID_SKIN[:7]]


@dataclass(frozen=True, slots=True)
class Look:
    """How a target is drawn.

    Attributes:
        relight: shade its face anew when its head turns.
        interior: what shows between its lips where its picture does not (`Mouth`).
        engine: the mouth engine, which its owner closes.
        interior_every: of so many pictures one has what shows between its lips drawn anew.
        coarse: how many pixels of the picture one drawn pixel takes, on a side (`rendering.coarse`).
    """

    relight: bool = True
    interior: Interior = "on"
    engine: MouthEngine | None = None
    interior_every: int = 1
    coarse: float = 1.0


LOOK = Look()


class Renderer:
    """Renders one target. Pictures it returns stay as they are for two further calls.

    Args:
        target: the target.
        look: how it is drawn.
        eyes: those of the clip that the target is a frame of. What is seen between its lips is then never
            the frame's own either: it changes from frame to frame.
        drawings: those of the clip's mouths.

    Attributes:
        region: what it draws of the picture.
    """

    def __init__(
        self,
        target: Target,
        look: Look = LOOK,
        *,
        eyes: Eyes | None = None,
        drawings: Drawings | None = None,
    ) -> None:
        self._target = target
        self._still = target.mesh.still
        height, width = target.picture.shape[:2]
        self.region = even_region(self._still, target.bounds)
        self._scale = np.array([width + 2 * MARGIN, height + 2 * MARGIN], np.float32)
        self._places = Places(
            np.array([[self._scale[0], 0, -MARGIN], [0, self._scale[1], -MARGIN]], np.float32)
        )
        self._sampler = PictureSampler(target.picture, self.region.size)
        self._smooth = SmoothMap(target.mesh.triangles, _of_the_face(target), self.region, self._places)
        self._openings = [
            Opening(contour, target.mesh.triangles, self._still, shape)
            for contour, shape in ((RIGHT_EYE, (1.3, 1.0)), (LEFT_EYE, (1.3, 1.0)), (INNER_LIPS, (1.5, 1.2)))
        ]
        self._lids = [
            Opening(eye, target.mesh.triangles, self._still, (1.4, 1.5)) for eye in (RIGHT_EYE, LEFT_EYE)
        ]
        self._outputs: list[Pixels] = []
        self._turn = 0
        self._values = np.full((len(self._still), 3), SKIN, np.float32)
        self._values[EYES, 2], self._values[LIPS, 2] = EYE, MOUTH
        self._face = unpose(target.params.landmarks, target.params.pose)
        lids = self._face[list(RIGHT_EYE + LEFT_EYE), 1]
        self._middle = np.repeat(lids.reshape(2, -1).mean(axis=1), len(RIGHT_EYE))
        self._height = np.abs(lids - self._middle)
        self._mouth = Mouth(
            target.picture,
            target.params,
            self._face,
            own=eyes is None,
            interior=look.interior,
            engine=look.engine,
            drawings=drawings or Drawings(look.interior_every),
        )
        self._eyes = eyes or own_eyes(target.picture, target.params.landmarks)
        self._relighter = Relighter(target, self.region.size) if look.relight else None

    def render(self, params: FaceParams) -> Pixels:
        """The target making the face that `params` (in pixels of the target's picture) describes."""
        face = unpose(params.landmarks, params.pose, depth=0.0)
        shown = self._mouth.shown(face_landmarks.gap(face, LIPS_APART))
        points, depth = self._place(params, face)
        self._values[:, :2] = np.clip((self._sources(face, shown) + MARGIN) / self._scale, 0.0, 1.0)
        points -= self.region.corner
        sources = self._smooth.draw(points, self._values, depth)
        *eyes, (mouth, lips) = self._refine(sources, points, depth)
        if len(self._outputs) < BUFFERS:
            self._outputs.append(self._target.picture.copy())
        output = self._outputs[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        moving = output[self.region.slices]
        self._sampler.into(moving, sources)
        self._turn_eyes(moving, params, eyes, sources)
        self._close_eyes(moving, params, face, points, depth)
        if shown > 0 and not mouth.empty:
            seen = Lips(params, face, self.region.corner, mouth, lips, sources[mouth.slices])
            self._mouth.fill(moving, seen, shown)
        if self._relighter is not None:
            self._relighter.shade(moving, points, depth, params.pose)
        return output

    def _refine(self, sources: Floats, points: Floats, depth: Floats) -> list[tuple[Region, Floats]]:
        """Put sharply drawn sampling coordinates about eyes and mouth in place of the enlarged ones.

        Returns the region of each, and which part each of its pixels belongs to.
        """
        refined: list[tuple[Region, Floats]] = []
        for opening in self._openings:
            region, drawn = opening.draw(points, self._values, depth, self.region.size)
            if not region.empty:  # a face may look over the picture's edge
                sharp = self._places.of(drawn)
                cv2.copyTo(sharp, cv2.inRange(drawn[..., 2], 0.01, 2.0), sources[region.slices])
            refined.append((region, drawn[..., 2]))
        return refined

    def _place(self, params: FaceParams, face: Floats) -> tuple[Floats, Floats]:
        """(V, 2) vertices in pixels and (V,) their depth."""
        mesh = self._target.mesh
        weight = mesh.ring_weight[:, None]
        carried = np.tile((face - self._face)[list(FACE_OVAL)], (len(RING_PLACES), 1))
        ring = apply_pose(mesh.ring + carried, params.pose)
        ring[:, :2] = ring[:, :2] * weight + self._still[RINGS] * (1.0 - weight)
        behind = params.landmarks[list(OPENINGS)] + np.array([0.0, 0.0, params.pose.scale], np.float32)
        moved = np.concatenate([params.landmarks[:FACE_POINTS], behind, ring])
        return self._still + (moved[:, :2] - self._still) * mesh.free[:, None], moved[:, 2]

    def _sources(self, face: Floats, shown: float) -> Floats:
        """(V, 2) where each vertex takes its pixels from.

        Eyeballs and teeth do not move with lids and lips: what shows in an opening is what lies at that
        place of the unturned head. A lid that opens beyond the picture's own stretches what there is.
        """
        sources = self._still.copy()
        openings = face[list(OPENINGS)]
        behind = apply_pose(openings, self._target.params.pose)[:, :2]
        eyes = EYES.stop - EYES.start
        wider = np.abs(openings[:eyes, 1] - self._middle) > self._height
        sources[EYES] = np.where(wider[:, None], self._still[EYES], behind[:eyes])
        sources[LIPS] += (behind[eyes:] - sources[LIPS]) * np.float32(shown)
        for lids in (RIGHT_LIDS, LEFT_LIDS):
            upper, lower = columns(lids)  # a closing lower lid is taken from where its rim has ended
            height = self._still[upper] - self._still[lower]
            sources[lower] -= height * np.float32(WATERLINE * self._shut(face, lids))
        return sources

    def _shut(self, face: Floats, lids: tuple[tuple[int, int], ...]) -> float:
        """How far an eye is shut, 0 as in the target's picture to 1."""
        own = max(face_landmarks.gap(self._face, lids), 1e-3)
        return 1.0 - min(1.0, face_landmarks.gap(face, lids) / own)

    def _turn_eyes(
        self, moving: Pixels, params: FaceParams, eyes: list[tuple[Region, Floats]], sources: Floats
    ) -> None:
        """Move the irises to where `params` looks."""
        gaze = params.gaze - self._target.params.gaze
        if self._eyes.layers is None or np.abs(gaze).max() < LOOK_FROM:
            return
        for eye, (layers, (region, part)) in enumerate(zip(self._eyes.layers, eyes, strict=True)):
            if not region.empty:
                where = self._eyes.source(eye, sources[region.slices])
                layers.turn(moving[region.slices], part, where, gaze[eye])

    def _close_eyes(
        self, moving: Pixels, params: FaceParams, face: Floats, points: Floats, depth: Floats
    ) -> None:
        """Lay painted lids and their lashes over eyes that close."""
        shut = [self._shut(face, lids) for lids in LIDS]
        if max(shut) <= LID[0]:
            return
        values = self._values.copy()  # the painted skin stays where it is while the lid's edge comes down
        still = apply_pose(face[LID_SKIN], self._target.params.pose)[:, :2]
        values[LID_SKIN, :2] = np.clip((still + MARGIN) / self._scale, 0.0, 1.0)
        for eye, share in enumerate(shut):
            if share <= LID[0]:
                continue
            region, drawn = self._lids[eye].draw(points, values, depth, self.region.size)
            if region.empty:
                continue
            amount = smoothstep((share - LID[0]) / (LID[1] - LID[0]))
            edge = points[list((RIGHT_EYE, LEFT_EYE)[eye][:9])] - region.corner
            where = self._places.of(drawn)
            view = moving[region.slices]
            self._eyes.shut.lay(view, drawn[..., 2], self._eyes.source(eye, where), amount)
            self._eyes.shut.draw_lashes(eye, view, edge, amount, share, params.pose.scale)


def _of_the_face(target: Target) -> NDArray[np.bool_]:
    """(T,) which triangles are the face's, or lie between its outline and the first ring around it."""
    return np.asarray((target.mesh.triangles < RINGS.start + len(FACE_OVAL)).all(axis=1))


def smoothstep(share: float) -> float:
    """0 below 0, 1 above 1, smooth between."""
    within = min(1.0, max(0.0, share))
    return within * within * (3.0 - 2.0 * within)
