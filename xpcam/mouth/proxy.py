"""Draws teeth, gums and tongue into the opening of a target's lips, as its pose and its jaw place them."""

from functools import cached_property
from typing import Final

import cv2
import numpy as np

from xpcam.face.landmarks import (
    INNER_LIPS,
    MOUTH_CORNERS,
    RIGID,
    apply_pose,
    face_mesh,
    rotation_matrix,
)
from xpcam.frame import Floats, Pose
from xpcam.mouth.model import GUM, MILLIMETRE, TONGUE, TOOTH, mouth_model
from xpcam.mouth.style import Style
from xpcam.warping.mesh_warp import Box, MeshRasteriser

CROP: Final = 128  # side of the mouth's crop, pixels
MARGIN: Final = 1.5  # the crop's side over the mouth's width (or 0.8 of it over its height)
FINER: Final = 4  # an opening's edge is drawn so much finer, each way
CHIN: Final = (152, 148, 377, 175, 199)
UPPER_LIP, LOWER_LIP, NOSE = 13, 14, 2
SHOWN: Final = 3.2 * MILLIMETRE  # upper incisors reach so far below the closed lips' line
BEHIND: Final = 4.0 * MILLIMETRE  # and stand so far behind it
HINGE: Final = np.array([-0.30, 1.0], np.float32)  # y and z of the jaw's joint, from the incisors' edge
LOWEST: Final = 0.75  # the jaw drops no farther, outer-eye distances
LOWER_EDGE: Final = (0.012, 0.08)  # the lower incisors' edge lies so far from the lower lip's, at most
LOWER_SHADE: Final = 0.84  # the upper lip and row stand in the light of the lower row
LIGHT: Final = np.array([0.0, -0.45, -0.89], np.float32)  # where light comes from, as seen by the camera
AMBIENT: Final = 0.70
GLOSS: Final = (0.22, 14)  # how bright wet surfaces shine, and how small the shine is
BELOW_LIP: Final = (2.0 * MILLIMETRE, 0.2)  # in a mouth so wide open upper teeth always show so much
BARED: Final = (5.0 * MILLIMETRE, 0.1)  # the same of mouths that are told to show them
TEETH: Final = (0.55, 0.9)  # how bright, over teeth in full light, the upper half then is
CORRIDOR: Final = (0.4, 0.1)  # teeth stand in shadow up to this share of the mouth's width; light at its end
REACH: Final = {TOOTH: 0.38, GUM: 0.35, TONGUE: 0.55}  # depth at which light has fallen to a third
ARCHED: Final = 0.15  # how far a tongue's tip is lifted on its way over the teeth
# A tongue so far behind the edge of the lower lip is hidden by it; over what way it comes before it.
BEFORE_LIP: Final = (0.10, 0.04)


def crop_matrix(landmarks: Floats, size: int = CROP) -> Floats:
    """(2, 3) map from the picture to the mouth's crop, turned so that the mouth's corners lie level.

    Args:
        landmarks: (478, 2 or 3) pixels.
    """
    right, left = (landmarks[corner, :2] for corner in MOUTH_CORNERS)
    across = left - right
    width = max(float(np.hypot(*across)), 1e-3)
    axes = np.array([across, (-across[1], across[0])], np.float32) / width
    lips = landmarks[list(INNER_LIPS), :2] @ axes.T
    low, high = lips.min(axis=0), lips.max(axis=0)
    side = MARGIN * max(width, 1.25 * float(high[1] - low[1]))
    scale = np.float32(size / side)
    shift = (size - 1) / 2 - (low + high) / 2 * scale
    return np.asarray(np.column_stack([axes * scale, shift]), np.float32)


def opening(contour: Floats, shape: tuple[int, int] = (CROP, CROP)) -> Floats:
    """(h, w) float32: 1 inside the inner lips' (20, 2) `contour`, pixels, else 0, shares at its edge."""
    height, width = shape
    fine = np.zeros((height * FINER, width * FINER), np.uint8)
    places = contour * FINER + (FINER - 1) / 2
    cv2.fillPoly(fine, [np.round(places * 16).astype(np.int32)], (255,), cv2.LINE_8, 4)
    small = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(small * np.float32(1 / 255), np.float32)


class MouthProxy:
    """The mean mouth in one target's light; owns its buffers.

    Attributes:
        size: side of what is drawn, pixels.
        edge: (3,) where the middle of the upper incisors' edge lies on the target's frontal face.

    Args:
        face: (478, 3) the target's frontal face.
        gap: how far its lips are apart, outer-eye distances.
        style: its colours.
        size: side of what is drawn, pixels.
    """

    def __init__(self, face: Floats, gap: float, style: Style, size: int = CROP) -> None:
        model = mouth_model()
        self._model, self._style, self.size = model, style, size
        self._rigid = face[list(RIGID)].mean(axis=0)
        self._chin = face[list(CHIN)].mean(axis=0)
        self.edge = _incisors(face, gap)
        reach = np.array([REACH[kind] for kind in (TOOTH, GUM, TONGUE)], np.float32)[model.kind]
        occluded, out = (
            np.exp(-np.maximum(depth, 0.0) / reach)[:, None]
            for depth in (model.vertices[:, 2], model.vertices[:, 2] + model.out[:, 2])
        )
        albedo = np.stack([style.tooth, style.gum, style.tongue])[model.kind] / np.float32(255)
        even = np.float32(0.35 + 0.65 * style.fine)  # a flat drawing has a band of teeth
        shade = 1.0 + (model.shade - 1.0) * even
        shade = np.where(model.jaw & (model.kind == TOOTH), np.float32(LOWER_SHADE) * shade, shade)
        self._albedo = np.asarray(albedo * shade[:, None] * occluded, np.float32)
        self._out_albedo = np.asarray(albedo * shade[:, None] * out, np.float32)
        self._background = np.empty((size, size, 3), np.float32)
        self._raster = MeshRasteriser(model.triangles, (size, size), self._background)
        self._jaw, self._skull = np.flatnonzero(model.jaw), np.flatnonzero(~model.jaw)

    def draw(
        self,
        face: Floats,
        pose: Pose,
        matrix: Floats,
        mask: Floats,
        tongue: float,
        box: Box | None = None,
        upper: float = 0.0,
    ) -> Floats:
        """The inside of the mouth.

        Args:
            face: (478, 3) frontal face to draw (`face.landmarks.unpose` with depth 0).
            pose: where it is.
            matrix: (2, 3) from the picture to the crop.
            mask: (size, size) 1 inside the lips.
            tongue: how far it is stretched out, 0 to 1.
            box: rows and columns to draw, by default all.
            upper: how bright its upper half is told to be (`showing.usual`): upper teeth show.

        Returns:
            (size, size, 3) float32 BGR, 0 to 255, or of `box`, drawn beyond the lips too.
        """
        places = apply_pose(self._placed(face, tongue, upper), pose)
        points = places[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        normals, albedo = self._model.normals, self._albedo
        if tongue > 0:
            normals = normals + (self._model.out_normals - normals) * np.float32(tongue)
            albedo = albedo + (self._out_albedo - albedo) * np.float32(tongue)
        lit = normals @ (LIGHT @ rotation_matrix(pose.rotation))
        lit = np.maximum(lit, 0.0)
        colours = albedo * (AMBIENT + (1.0 - AMBIENT) * lit + GLOSS[0] * lit ** GLOSS[1])[:, None]
        np.minimum(colours, 1.0, out=colours)
        light = self._lit(mask)
        values = np.asarray(colours, np.float32)
        drawn = self._raster.draw(np.asarray(points, np.float32), values, places[:, 2], box)
        np.multiply(drawn, light if box is None else light[box], out=drawn)
        return np.asarray(cv2.GaussianBlur(drawn, (3, 3), 0), np.float32)  # triangles have hard edges

    @cached_property
    def _cover(self) -> MeshRasteriser:
        return MeshRasteriser(self._model.triangles, (self.size, self.size))

    def over_lip(self, face: Floats, pose: Pose, matrix: Floats, tongue: float) -> Floats:
        """(size, size) where the tongue lies before the lower lip, 0 to 1; arguments as for `draw`."""
        placed = self._placed(face, tongue)
        places = apply_pose(placed, pose)
        points = places[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        behind, span = BEFORE_LIP
        before = np.clip((face[LOWER_LIP, 2] + np.float32(behind) - placed[:, 2]) / span, 0.0, 1.0)
        before *= self._model.kind == TONGUE
        values = np.repeat(before[:, None], 3, axis=1).astype(np.float32)
        drawn = self._cover.draw(np.asarray(points, np.float32), values, places[:, 2])
        return np.asarray(cv2.GaussianBlur(np.ascontiguousarray(drawn[..., 0]), (3, 3), 0), np.float32)

    def _lit(self, mask: Floats) -> Floats:
        """(size, size, 3) 255 times the light that the lips let in; writes the cavity behind it all."""
        quarter = np.asarray(
            cv2.resize(mask, (self.size // 4,) * 2, interpolation=cv2.INTER_AREA), np.float32
        )
        soft = cv2.GaussianBlur(quarter, (0, 0), 0.0175 * self.size)
        depth = np.clip(soft * 1.5 - 0.4, 0.0, 1.0)[..., None]
        cavity = (self._style.flesh + (self._style.throat - self._style.flesh) * depth) / np.float32(255)
        light = np.repeat(np.minimum(0.80 + 1.0 * depth, 1.0) * 255, 3, axis=2)
        light *= _between_cheeks(quarter)[:, None]
        wide = (self.size, self.size)
        cv2.resize(cavity, wide, dst=self._background, interpolation=cv2.INTER_LINEAR)
        return np.asarray(cv2.resize(light, wide, interpolation=cv2.INTER_LINEAR), np.float32)

    def _placed(self, face: Floats, tongue: float, upper: float = 0.0) -> Floats:
        """(V, 3) vertices on the frontal face: the upper row fixed to the skull, the lower one to the jaw."""
        moved = face[list(RIGID)].mean(axis=0) - self._rigid
        vertices = self._model.vertices.copy()
        jaw = vertices[self._jaw]
        if tongue > 0:
            jaw += self._model.out[self._jaw] * np.float32(tongue)
            lifted = 4 * tongue * (1 - tongue) * ARCHED
            jaw[:, 1] -= self._model.tip[self._jaw] * np.float32(lifted)
        chin = face[list(CHIN)].mean(axis=0) - self._chin - moved
        lip = face[LOWER_LIP, 1] - self.edge[1] - moved[1]
        drop = np.clip(chin[1], lip + LOWER_EDGE[0], lip + LOWER_EDGE[1])
        angle = np.float32(np.clip(drop, 0.0, LOWEST) / HINGE[1])
        y, z = jaw[:, 1] - HINGE[0], jaw[:, 2] - HINGE[1]
        jaw[:, 1], jaw[:, 2] = HINGE[0] + y - angle * z, HINGE[1] + z + angle * y
        jaw[:, 0] += np.float32(0.7) * chin[0]
        vertices[self._jaw] = jaw
        vertices += self.edge + moved
        bared = float(np.clip((upper - TEETH[0]) / (TEETH[1] - TEETH[0]), 0.0, 1.0))
        below, apart = (a + (b - a) * bared for a, b in zip(BELOW_LIP, BARED, strict=True))
        wide = np.float32(min(1.0, (face[LOWER_LIP, 1] - face[UPPER_LIP, 1]) / apart))
        hidden = face[UPPER_LIP, 1] + np.float32(below) * wide - self.edge[1] - moved[1]
        if wide > 0 and hidden > 0:
            vertices[self._skull, 1] += hidden * wide
        return vertices


def _between_cheeks(mask: Floats) -> Floats:
    """(w,) light along a mouth: where cheeks and the lips' corners are near, little of it comes in."""
    columns = np.flatnonzero(mask.any(axis=0))
    if len(columns) == 0:
        return np.ones(mask.shape[1], np.float32)
    first, last = columns[0] - 0.5, columns[-1] + 0.5
    places = np.arange(mask.shape[1], dtype=np.float32)
    from_corner = np.minimum(places - first, last - places) / (last - first)
    share = np.clip(from_corner / CORRIDOR[0], 0.0, 1.0)
    return np.asarray(CORRIDOR[1] + (1.0 - CORRIDOR[1]) * share * share * (3.0 - 2.0 * share), np.float32)


def _incisors(face: Floats, gap: float) -> Floats:
    """(3,) where the middle of the upper incisors' edge lies on a frontal face."""
    mean = face_mesh().neutral
    lips = (face[UPPER_LIP] + face[LOWER_LIP]) / 2
    below_nose = face[NOSE, 1] + (mean[UPPER_LIP, 1] - mean[NOSE, 1])
    open_share = np.float32(min(1.0, gap / 0.05))
    line = lips[1] + (below_nose - lips[1]) * open_share
    x = np.float32(face[[NOSE, UPPER_LIP, 168], 0].mean())
    return np.array([x, line + SHOWN, face[UPPER_LIP, 2] + BEHIND], np.float32)
