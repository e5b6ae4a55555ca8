"""A still target that X2Face moves: the embedded face makes a motion, and the target's pixels follow it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from xpcam.errors import TargetError
from xpcam.face.embedded_face import FRONTAL, embedded_face
from xpcam.face.head_crop import face_crop, face_square, in_crop
from xpcam.frame import FaceParams, Pixels, Pose
from xpcam.rendering.animated_target import AnimatedStill
from xpcam.rendering.renderer import LOOK, Look
from xpcam.retargeting.retargeter import STILL, Gains, Motion, Retargeter
from xpcam.target.clip import TargetClip, is_clip
from xpcam.target.still import Target
from xpcam.x2face.driving import Driving
from xpcam.x2face.embedding import SIDE, Embedder
from xpcam.x2face.fitting import EmbeddedFace, fitted
from xpcam.x2face.parting import Parting, how_far_apart, parting
from xpcam.x2face.placing import Placer

TURN_LIMIT: Final = np.radians((25.0, 40.0, 25.0)).astype(np.float32)  # pitch, yaw, roll of the head

STILL_WANTED: Final = "{} is a clip, x2face wants a still: give a picture, or use --engine mesh"


@dataclass(frozen=True, slots=True)
class Embedded:
    """A target whose face is embedded.

    Attributes:
        parting: the pictures from which it is sampled.
        faces: its embedded face, for each of them.
    """

    parting: Parting
    faces: tuple[EmbeddedFace, ...]


class AnimatedFace:
    """A still picture whose face is sampled anew for every frame.

    Args:
        target: the target.
        gains: how much of each region's motion is carried over.
        embedder: embeds its face.
        driving: says where the face is sampled.
        look: how it is drawn; `relight` means nothing here.
        embedded: the same target's, embedded before.

    Raises:
        EngineError: the embedding network does not work.
    """

    def __init__(
        self,
        target: Target,
        gains: Gains,
        embedder: Embedder,
        driving: Driving,
        look: Look = LOOK,
        *,
        embedded: Embedded | None = None,
    ) -> None:
        self._target, self._gains, self._look = target, gains, look
        self._embedder, self._driving = embedder, driving
        self._embedded = embedded or embed(target, embedder, look)
        self._mesh = AnimatedStill(target, gains, replace(look, relight=False))
        lips = self._embedded.parting
        at_rest = FaceParams(embedded_face(lips.apart[0]), FRONTAL, 1.0)
        self._retargeter = Retargeter(at_rest, gains, TURN_LIMIT)
        self._placer = Placer(
            target.picture,
            target.bounds,
            target.params.pose,
            self._embedded.faces,
            [driving.resting(apart) for apart in lips.apart],
            lips,
            look.coarse,
        )
        self._motion, self._step = STILL, 0

    @property
    def fault(self) -> str:
        """Why the driving network does not work; empty where it does."""
        return self._driving.fault

    def act(self, motion: Motion, _followed: float, _at: float, /) -> FaceParams:
        """The embedded face making the motion."""
        self._motion = motion
        return self._retargeter.apply(motion)

    def render(self, params: FaceParams) -> Pixels:
        """The target's picture with that face; the mesh engine's while the driving network does not work."""
        grid = self._driving.grid(in_crop(params.landmarks, params.pose))
        if grid is None:
            return self._mesh.render(self._mesh.act(self._motion, 1.0, 0.0))
        self._step = self._embedded.parting.step(how_far_apart(params), self._step)
        (middle, side), (at_rest, whole) = face_square(params.pose), face_square(FRONTAL)
        return self._placer.place(grid, self._step, (middle - at_rest) / np.float32(whole / 2), side / whole)

    def weigh(self, gains: Gains) -> None:
        """Carry over so much of each region's motion from now on."""
        if gains != self._gains:
            self._gains = gains
            self._retargeter.weigh(gains)
            self._mesh.weigh(gains)

    def drawn(self, look: Look) -> "AnimatedFace":
        """The same picture, drawn another way."""
        embedded = self._embedded if look.interior == self._look.interior else None
        return AnimatedFace(self._target, self._gains, self._embedder, self._driving, look, embedded=embedded)

    def close(self) -> None:
        """Nothing works in the background."""


def animate(
    target: Target | TargetClip, gains: Gains, look: Look, embedder: Embedder, driving: Driving
) -> AnimatedFace:
    """A prepared target at play. Raises TargetError: a clip; EngineError: the network does not work."""
    return AnimatedFace(the_still(target), gains, embedder, driving, look)


def the_still(target: Target | TargetClip) -> Target:
    """A target that is a still. Raises TargetError: a clip."""
    if isinstance(target, TargetClip):
        raise TargetError(STILL_WANTED.format("the target"))
    return target


def check_kind(path: Path, engine: str) -> None:
    """Raises TargetError: a clip, for an engine that moves stills only."""
    if engine == "x2face" and is_clip(path):
        raise TargetError(STILL_WANTED.format(f"target {path}"))


def embed(target: Target, embedder: Embedder, look: Look = LOOK) -> Embedded:
    """A target's face, embedded with its lips apart. Raises EngineError: the network does not work."""
    lips, pose = parting(target, look), target.params.pose
    embedding = embedder.embed(source_of(lips.widest, target.bounds, pose))
    steps = zip(lips.faces, lips.apart, strict=True)
    return Embedded(lips, tuple(fitted(embedding, face.landmarks, pose, apart) for face, apart in steps))


def source_of(picture: Pixels, bounds: tuple[int, int, int, int], pose: Pose) -> Pixels:
    """(256, 256, 3) what the embedding network sees of a picture: its head, nothing from beside it."""
    left, top, right, bottom = bounds
    held = replace(pose, translation=pose.translation - np.array([left, top], np.float32))
    return face_crop(picture[top:bottom, left:right], held, SIDE)[0]
