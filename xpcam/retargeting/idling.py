"""What the target does when there is nobody to follow: it breathes and blinks, eased in and out."""

import math
from functools import cache

import numpy as np

from xpcam.face.landmarks import face_mesh
from xpcam.frame import Floats
from xpcam.retargeting.retargeter import STILL, Motion, blend

EASE_SECONDS = 0.4
BLINK_SECONDS = 0.24
BLINK_EVERY = 3.7  # mean seconds between idle blinks
BREATHS_PER_SECOND = 0.25
GOLDEN = 0.6180339887


def idle_motion(at: float) -> Motion:
    """What an unattended face does at `at` seconds: the same every time it is asked."""
    closed = blink(at)
    breath = math.sin(2 * math.pi * BREATHS_PER_SECOND * at)
    sway = math.sin(0.37 * at) * math.sin(0.23 * at + 1.0)
    return Motion(
        offsets=_blink_offsets() * np.float32(closed),
        lids=np.full(2, 1.0 - closed, np.float32),
        turn=np.array([0.012 * breath, 0.03 * sway, 0.008 * sway], np.float32),
        shift=np.array([0.01 * sway, 0.012 * breath], np.float32),
        zoom=0.002 * breath,
    )


def blink(at: float) -> float:
    """How far the lids are closed, 0 to 1: one smooth blink in every stretch, at an uneven moment of it."""
    stretch = math.floor(at / BLINK_EVERY)
    begins = (stretch + 0.8 * ((stretch * GOLDEN) % 1.0)) * BLINK_EVERY
    phase = (at - begins) / BLINK_SECONDS
    return math.sin(math.pi * phase) ** 2 if 0.0 < phase < 1.0 else 0.0


@cache
def _blink_offsets() -> Floats:
    """(478, 3) how the skin around the eyes moves when the lids close, from the blend shapes."""
    mesh = face_mesh()
    both = (mesh.blendshape_names.index(f"eyeBlink{side}") for side in ("Left", "Right"))
    return np.asarray(sum(mesh.basis[index] for index in both), np.float32)


class Presence:
    """Eases between idling and following, so that a face that comes or goes makes no jump."""

    def __init__(self) -> None:
        self._share = 0.0
        self._live = STILL
        self._at: float | None = None

    @property
    def share(self) -> float:
        """How far somebody is followed, 0 to 1, eased."""
        return self._share * self._share * (3.0 - 2.0 * self._share)

    def motion(self, live: Motion | None, at: float) -> Motion:
        """The motion to show at `at` seconds; `live` is what the person does, None when nobody is there."""
        step = 0.0 if self._at is None else max(0.0, at - self._at) / EASE_SECONDS
        self._at = at
        if live is not None:
            self._live = live
        self._share = min(1.0, self._share + step) if live is not None else max(0.0, self._share - step)
        if self._share >= 1.0:
            return self._live
        return blend(idle_motion(at), self._live, self.share)

    def enter(self) -> None:
        """Follow at once, with no easing in: for a driver that is known to show a face."""
        self._share = 1.0
