"""A still target that X2Face moves: the person's grid in, the target's own pixels out.

While nobody is followed the mesh engine lets it blink and breathe. In between, what the mesh engine shows is
moved by a share of the grid: no picture is laid over another, so a face that comes or goes leaves no double.
"""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from xpcam.errors import TargetError
from xpcam.face.head_crop import face_crop
from xpcam.face.landmarks import LIPS_APART, gap, unpose
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.rendering.animated_target import AnimatedStill
from xpcam.rendering.renderer import LOOK, Look
from xpcam.retargeting.idling import idle_motion
from xpcam.retargeting.retargeter import STILL, Gains, Motion, blend
from xpcam.target.clip import TargetClip, is_clip
from xpcam.target.still import Target
from xpcam.x2face.embedding import SIDE, Embedder
from xpcam.x2face.fitting import fitted
from xpcam.x2face.placing import Placer

PARTED: Final = 0.25
"""How far the jaw of what is embedded has dropped: a grid can only show teeth that are there."""

STILL_WANTED: Final = "{} is a clip, x2face wants a still: give a picture, or use --engine mesh"


class AnimatedFace:
    """A still picture whose face is sampled anew for every frame.

    Args:
        target: the target.
        embedder: embeds its face.
        look: how it is drawn; `relight` means nothing here.
        grid: the last one of the same target drawn another way.

    Raises:
        EngineError: the embedding network does not work.
    """

    def __init__(
        self, target: Target, embedder: Embedder, look: Look = LOOK, *, grid: Floats | None = None
    ) -> None:
        self._target, self._embedder, self._grid = target, embedder, grid
        plain = replace(look, relight=False)
        self._idling = AnimatedStill(target, Gains(), plain)
        self._posed = parted(target)
        sharp = self._idling if look.coarse == 1 else self._idling.drawn(replace(plain, coarse=1.0))
        acted = sharp.act(self._posed, 1.0, 0.0)
        picture, pose = sharp.render(acted).copy(), target.params.pose
        embedding = embedder.embed(source_of(picture, target.bounds, pose))
        face = fitted(embedding, acted.landmarks, pose)
        self._placer = Placer(picture, target.bounds, pose, face, look.coarse)
        self._share = 0.0

    def act(self, motion: Motion, followed: float, at: float, /) -> FaceParams:
        """The face of the mesh engine beneath; what was seen last is followed until nobody is."""
        if motion.grid is not None:
            self._grid = motion.grid
        self._share = 0.0 if self._grid is None else followed
        return self._idling.act(blend(idle_motion(at), self._posed, self._share), followed, at)

    def render(self, params: FaceParams) -> Pixels:
        """The picture of the moment that was acted last."""
        if self._grid is None or self._share == 0.0:
            return self._idling.render(params)
        if self._share == 1.0:
            return self._placer.place(self._grid, 1.0)
        return self._placer.place(self._grid, self._share, self._idling.render(params))

    def weigh(self, _gains: Gains) -> None:
        """The whole face is carried over as it is seen."""

    def drawn(self, look: Look) -> "AnimatedFace":
        """The same picture, drawn another way, going on where it is."""
        return AnimatedFace(self._target, self._embedder, look, grid=self._grid)

    def close(self) -> None:
        """Nothing works in the background."""


def animate(target: Target | TargetClip, embedder: Embedder, look: Look) -> AnimatedFace:
    """A prepared target at play. Raises TargetError: a clip; EngineError: the network does not work."""
    if isinstance(target, TargetClip):
        raise TargetError(STILL_WANTED.format("the target"))
    return AnimatedFace(target, embedder, look)


def check_kind(path: Path, engine: str) -> None:
    """Raises TargetError: a clip, for an engine that moves stills only."""
    if engine == "x2face" and is_clip(path):
        raise TargetError(STILL_WANTED.format(f"target {path}"))


def source_of(picture: Pixels, bounds: tuple[int, int, int, int], pose: Pose) -> Pixels:
    """(256, 256, 3) what the embedding network sees of a picture: its head, nothing from beside it."""
    left, top, right, bottom = bounds
    held = replace(pose, translation=pose.translation - np.array([left, top], np.float32))
    return face_crop(picture[top:bottom, left:right], held, SIDE)[0]


def parted(target: Target) -> Motion:
    """The motion that parts a target's lips; none where they are parted already."""
    jaw = face_model().landmark_expression[ARKIT.index("jawOpen")] * np.float32(PARTED)
    face = unpose(target.params.landmarks, target.params.pose)
    own, wanted = gap(face, LIPS_APART), gap(face + jaw, LIPS_APART)
    share = np.clip(1.0 - own / max(wanted - own, 1e-3), 0.0, 1.0)
    return replace(STILL, offsets=jaw * np.float32(share))
