"""Identities that make any expression: portraits by the product's own renderer, and rendered heads.

The same `Act` played by two identities is what the driving network learns from: what it must carry over is exactly
what the two pictures have in common. The renderer also says where each landmark went.
"""

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from engines.face_params import warping
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.data import Portraits
from engines.face_params.parameter_views import background, random_light
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import frontal, parted
from xpcam.face.head_crop import ANCHOR, SIDE_FACTOR, face_crop, face_height, in_crop
from xpcam.face.model import ARKIT, face_model, normals, shading
from xpcam.frame import FaceParams, Pose
from xpcam.rendering.renderer import Renderer
from xpcam.retargeting.retargeter import Gains, Motion, Retargeter
from xpcam.target.still import laid_out
from xpcam.warping.mesh_warp import MeshRasteriser

Random = np.random.Generator
FACING = -0.1  # depth of a unit normal above which a place is not seen
HEAD = 288  # side of a rendered head's picture, pixels


@dataclass(frozen=True, slots=True)
class Act:
    """What a face does, whoever it is.

    Attributes:
        scores: (51,) ARKit weights in the order of the landmark mesh.
        extra: (478, 3) what is added to the frontal face besides, outer-eye distances.
        rotation: (3,) of the head, axis-angle; None leaves an identity's own.
        gaze: (2,) yaw and pitch of both eyes against the head, radians.
    """

    scores: Floats
    extra: Floats
    rotation: Floats | None
    gaze: Floats


@dataclass(frozen=True, slots=True)
class View:
    """One picture of an identity.

    Attributes:
        crop: (S, S, 3) uint8.
        landmarks: (478, 2) -1 to 1 over the crop of `xpcam.face.head_crop` (what is stored shows more).
        seen: (478,) whether each can be seen.
    """

    crop: Pixels
    landmarks: Floats
    seen: np.ndarray


class Identity(Protocol):
    """Somebody who plays.

    Attributes:
        rotation: (3,) as its head is held.
        canonical: (478, 2) landmarks of its embedded face, -1 to 1.
    """

    rotation: Floats
    canonical: Floats

    def play(self, act: Act, size: int, room: float) -> View:
        """The act in a crop of `size` pixels, `room` times as wide as the networks' own."""


def moved(scores: Floats) -> Floats:
    """(478, 3) what ARKit weights add to a frontal face."""
    return np.asarray(np.tensordot(scores, fl.face_mesh().basis, axes=1), np.float32)


def motion_of(act: Act, face: Floats, rotation: Floats, own: Floats) -> Motion:
    """What a frontal face (478, 3) that is turned so does to play an act.

    Args:
        own: (51,) ARKit weights of what the face does already.
    """
    offsets = moved(act.scores - own) + act.extra
    wanted = face + offsets
    lids = [fl.gap(wanted, pairs) / max(fl.gap(face, pairs), 0.02) for pairs in (fl.RIGHT_LIDS, fl.LEFT_LIDS)]
    turn = np.zeros(3, np.float32)
    if act.rotation is not None:
        turn = fl.rotation_vector(fl.rotation_matrix(act.rotation) @ fl.rotation_matrix(rotation).T)
    return Motion(
        offsets, np.array(lids, np.float32), turn, np.zeros(2, np.float32), 0.0, np.tile(act.gaze, (2, 1))
    )


def facing(landmarks: Floats) -> np.ndarray:
    """(478,) which landmarks look at the camera; irises count as hidden, for they turn with the gaze."""
    seen = np.zeros(fl.LANDMARKS, bool)
    mesh = fl.face_mesh()
    outward = normals(landmarks[: fl.FACE_POINTS], mesh.triangles)
    sign = np.sign(normals(mesh.neutral[: fl.FACE_POINTS], mesh.triangles)[1, 2]) or 1.0  # the nose's tip
    seen[: fl.FACE_POINTS] = -sign * outward[:, 2] < FACING
    return seen


def wider(pose: Pose, room: float) -> Pose:
    """The pose whose crop is `room` times as wide about the same middle."""
    centre = fl.apply_pose(ANCHOR[None], pose)[0, :2]
    return Pose(pose.rotation, centre + (pose.translation - centre) * np.float32(room), pose.scale * room)


class Portrait:
    """A generated portrait, moved by the product's renderer."""

    def __init__(self, picture: Pixels, landmarks: Floats, own: Floats) -> None:
        face = FaceParams(landmarks, fl.fit_pose(landmarks), 1.0)
        height, width = picture.shape[:2]
        height, width = height // 2 * 2, width // 2 * 2
        target = laid_out(np.ascontiguousarray(picture[:height, :width]), (0, 0, width, height), face)
        self._renderer, self._own = Renderer(target), own
        self._retargeter = Retargeter(face, Gains(head=1.0))
        self._face = fl.unpose(landmarks, face.pose)
        self._pose = face.pose
        self.rotation = face.pose.rotation
        self.canonical = frontal(
            self._made(Act(parted(), np.zeros_like(landmarks), None, np.zeros(2, np.float32)))
        )

    def _motion(self, act: Act) -> Motion:
        return motion_of(act, self._face, self.rotation, self._own)

    def _made(self, act: Act) -> Floats:
        params = self._retargeter.apply(self._motion(act))
        return fl.unpose(params.landmarks, params.pose, depth=0.0)

    def play(self, act: Act, size: int, room: float) -> View:
        params = self._retargeter.apply(self._motion(act))
        picture = self._renderer.render(params)
        crop, _ = face_crop(picture, wider(params.pose, room), size)
        return View(crop, in_crop(params.landmarks, params.pose), facing(params.landmarks))


class Head:
    """A rendered head whose everything is known: it turns as far as anybody likes."""

    def __init__(self, rng: Random, data: Portraits) -> None:
        self._model, self._rng = face_model(), rng
        self._identity, texture = (rng.standard_normal((2, 80)) * 0.8).astype(np.float32)
        self._colours = self._model.colours(texture)
        self._light = random_light(rng)
        self._behind = cv2.resize(background(rng, data), (HEAD, HEAD))
        self._raster = MeshRasteriser(self._model.triangles, (HEAD, HEAD))
        names = fl.face_mesh().blendshape_names
        self._order = [ARKIT.index(name) for name in names]
        self.rotation = np.zeros(3, np.float32)
        self.canonical = frontal(self._model.landmarks(self._vertices(parted(), np.zeros(2, np.float32))))

    def _vertices(self, scores: Floats, gaze: Floats) -> Floats:
        weights = np.zeros(52, np.float32)
        weights[self._order] = np.clip(scores, 0, 1)
        for side, outward in (("Left", 1.0), ("Right", -1.0)):
            aside = float(gaze[0]) * outward / 0.6
            weights[ARKIT.index(f"eyeLookOut{side}")] = np.clip(aside, 0, 1)
            weights[ARKIT.index(f"eyeLookIn{side}")] = np.clip(-aside, 0, 1)
            weights[ARKIT.index(f"eyeLookDown{side}")] = np.clip(gaze[1] / 0.5, 0, 1)
            weights[ARKIT.index(f"eyeLookUp{side}")] = np.clip(-gaze[1] / 0.5, 0, 1)
        return self._model.shape(self._identity, weights)

    def play(self, act: Act, size: int, room: float) -> View:
        vertices = self._vertices(act.scores, act.gaze)
        rotation = self.rotation if act.rotation is None else act.rotation
        pose = Pose(rotation, np.zeros(2, np.float32), HEAD / (SIDE_FACTOR * room * face_height()))
        middle = fl.apply_pose(ANCHOR[None], pose)[0, :2]
        pose = Pose(rotation, np.float32((HEAD - 1) / 2) - middle, pose.scale)
        placed = fl.apply_pose(vertices, pose)
        turned = normals(vertices, self._model.triangles) @ fl.rotation_matrix(rotation).T
        colour = np.clip(self._colours * shading(turned, self._light), 0, 1)
        drawn = self._raster.draw(placed[:, :2], colour, placed[:, 2])
        mask = cv2.GaussianBlur((drawn.max(axis=2) > 0).astype(np.float32), (3, 3), 0)[..., None]
        picture = (self._behind + (drawn * 255 - self._behind) * mask).astype(np.uint8)
        landmarks = fl.apply_pose(self._model.landmarks(vertices), pose)
        crop = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        return View(np.asarray(crop), in_crop(landmarks, pose), facing(landmarks))


def random_act(rng: Random, pool: Floats, rotation: Floats) -> Act:
    """An expression, a gaze and the given rotation (3,) of the head.

    Args:
        pool: (N, 51) ARKit weights of real portraits.
    """
    none = np.zeros(pool.shape[1], np.float32)
    scores = none if rng.random() < 0.1 else warping.random_expression(rng, none, pool).astype(np.float32)
    extra: Floats = np.zeros((fl.LANDMARKS, 3), np.float32)
    if rng.random() < 0.5:
        extra = extra + warping.move_corners(rng) * np.float32(0.8)
    if rng.random() < 0.35:
        extra = extra + warping.part_lips(rng)
    gaze = rng.normal(0, (0.28, 0.15)) if rng.random() < 0.7 else np.zeros(2)
    return Act(scores, extra.astype(np.float32), rotation, gaze.astype(np.float32))


def calm_act(rng: Random, pool: Floats, rotation: Floats) -> Act:
    """Somebody who speaks, blinks and looks about a little: as `random_act`."""
    scores = np.zeros(pool.shape[1], np.float32)
    if rng.random() < 0.8:
        warping.random_mouth(rng, scores, pool)
        scores *= np.float32(rng.uniform(0.2, 0.8))
    scores[warping.BLINK] = rng.uniform(0.3, 1.2) if rng.random() < 0.4 else rng.uniform(0, 0.25)
    if rng.random() < 0.5:
        scores[warping.BROW_UP if rng.random() < 0.6 else warping.BROW_DOWN] = rng.uniform(0, 0.8)
    extra: Floats = np.zeros((fl.LANDMARKS, 3), np.float32)
    if rng.random() < 0.6:
        extra = np.asarray(extra + warping.move_corners(rng) * 0.6, np.float32)
    if rng.random() < 0.4:
        extra = np.asarray(extra + warping.part_lips(rng) * 0.7, np.float32)
    return Act(scores, extra, rotation, rng.normal(0, (0.12, 0.08)).astype(np.float32))
