"""The target with its lips apart, from as they are to as far as the embedded face has them.

A grid can only show teeth that are there, and shuts lips no more sharply than its cells are wide. So the
mesh engine parts the lips, in steps, and a face is sampled from the step that is nearest to it.
"""

from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import numpy as np

from xpcam.face.embedded_face import embedded_face
from xpcam.face.landmarks import LIPS_APART, gap, unpose
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import FaceParams, Pixels
from xpcam.rendering.animated_target import AnimatedStill
from xpcam.rendering.renderer import Look
from xpcam.retargeting.retargeter import STILL, Gains, Motion
from xpcam.target.still import Target
from xpcam.warping.mesh_warp import Box

PARTED: Final = 0.25  # how far the jaw has dropped in the end
STEPS: Final = 6
STAYS: Final = 0.7  # steps by which lips move before another one is taken: noise changes nothing
NOISE: Final = 2  # of 255: a picture drawn anew differs by so little from what it was drawn from


@dataclass(frozen=True, slots=True)
class Parting:
    """The pictures of all steps.

    Attributes:
        apart: how far the embedded face's lips are apart in each step (`embedded_face`), rising to 1.
        box: rows and columns of the target's picture that differ.
        pixels: what is there in each step; the first is the picture's own.
        faces: the target's face in each step.
        widest: (height, width, 3) the whole picture of the last step.
    """

    apart: tuple[float, ...]
    box: Box
    pixels: tuple[Pixels, ...]
    faces: tuple[FaceParams, ...]
    widest: Pixels

    def step(self, apart: float, last: int) -> int:
        """Which step to take where the lips are so far apart; `last` was taken before."""
        if len(self.apart) == 1:
            return 0
        first = self.apart[0]
        at = float(np.clip((apart - first) / (1.0 - first), 0.0, 1.0)) * (len(self.apart) - 1)
        return last if abs(at - last) < STAYS else round(at)


def parting(target: Target, look: Look) -> Parting:
    """A target's lips, parted step by step; one step where they are apart already."""
    motion, share = parted(target)
    shares = np.linspace(0.0, 1.0, STEPS) if share > 0 else np.ones(1)
    still = AnimatedStill(target, Gains(), replace(look, relight=False, coarse=1.0))
    faces = [still.act(replace(motion, offsets=motion.offsets * np.float32(one)), 1.0, 0.0) for one in shares]
    widest = still.render(faces[-1]).copy()
    box = _differing(target.picture, widest)
    own, between = target.picture[box].copy(), [still.render(face)[box].copy() for face in faces[1:-1]]
    pixels = (own, *between, widest[box]) if share > 0 else (own,)
    return Parting(tuple(1.0 - share * (1.0 - shares)), box, pixels, tuple(faces), widest)


def parted(target: Target) -> tuple[Motion, float]:
    """The motion that parts a target's lips, and how much of it is wanted: none where they are apart."""
    jaw = face_model().landmark_expression[ARKIT.index("jawOpen")] * np.float32(PARTED)
    face = unpose(target.params.landmarks, target.params.pose)
    own, wanted = gap(face, LIPS_APART), gap(face + jaw, LIPS_APART)
    share = float(np.clip(1.0 - own / max(wanted - own, 1e-3), 0.0, 1.0))
    return replace(STILL, offsets=jaw * np.float32(share)), share


def how_far_apart(params: FaceParams) -> float:
    """How far an acting embedded face has its lips apart, as `embedded_face` takes it."""
    shut, whole = _openings()
    return (gap(unpose(params.landmarks, params.pose, depth=0.0), LIPS_APART) - shut) / (whole - shut)


@cache
def _openings() -> tuple[float, float]:
    """Of the embedded face with its lips shut, and apart."""
    return gap(embedded_face(0.0), LIPS_APART), gap(embedded_face(1.0), LIPS_APART)


def _differing(first: Pixels, second: Pixels) -> Box:
    """The rows and columns in which two pictures differ; one pixel where they do not."""
    differ = np.abs(first.astype(np.int16) - second).max(axis=2) > NOISE
    rows, columns = (np.flatnonzero(differ.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return slice(0, 1), slice(0, 1)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
