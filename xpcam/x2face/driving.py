"""Camera frame -> grid: the tracker of the X2Face engine. Camera pixels end here; what leaves are numbers.

What leaves is how the person's grid differs from that of the person at rest: what they share says whose face
drives, how it is framed and what the network always gets wrong, none of which is the target's.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from xpcam.frame import FaceParams, Floats, Frame, Pixels
from xpcam.tracking.smoothing import OneEuro
from xpcam.x2face.crops import face_crop
from xpcam.x2face.embedding import Runs, believable
from xpcam.x2face.grids import CELLS, identity

SIDE: Final = 128
"""Side of the crop that the driving network takes, pixels."""
STEADY: Final = (5.0, 60.0)  # cut-off at rest in hertz, and per half crop and second (`tracking.smoothing`)
FORGOTTEN_AFTER: Final = 5.0  # seconds without a face after which whoever comes may be somebody else
LONGEST_GAP: Final = 0.5  # seconds without a grid after which the past no longer counts

STRAINED: Final = 2.0  # a moment with ARKit weights of so much in sum counts 1 / e**4 of one without any
REMEMBERED: Final = 20.0  # moments of a face at rest that its rest is the mean of; older ones fade


class Rest:
    """The driving grid of a person at rest: a mean over time in which calm moments count most."""

    def __init__(self) -> None:
        self._still = identity(CELLS)
        self._grid: Floats | None = None
        self._weight = 0.0

    def difference(self, grid: Floats, expression: Floats) -> Floats:
        """(64, 64, 2) the grid that does to a face what this one does to the person's resting one.

        Args:
            grid: (64, 64, 2) of this moment, which is learned from.
            expression: (52,) ARKit weights of this moment.
        """
        weight = float(np.exp(-STRAINED * expression.sum()))
        self._weight = min(self._weight + weight, REMEMBERED)
        if self._grid is None:
            self._grid = grid.copy()
        self._grid += (grid - self._grid) * np.float32(weight / max(self._weight, 1e-12))
        return np.asarray(np.clip(self._still + grid - self._grid, -1.0, 1.0), np.float32)

    def forget(self) -> None:
        """Somebody else may come."""
        self._grid, self._weight = None, 0.0


class Tracker(Protocol):
    """What finds the face (`xpcam.tracking.FaceTracker`, or a fake)."""

    def track(self, frame: Frame) -> FaceParams | None: ...
    def locate(self, pixels: Pixels) -> list[FaceParams]: ...
    def reset(self) -> None: ...


class DrivingTracker:
    """Adds to each tracked face where the driving network would have the embedded face sampled.

    Args:
        tracker: follows the face.
        driving: the network.
        smooth: steady the grid with a One Euro filter.

    Attributes:
        engines: on which device each engine really runs.
    """

    def __init__(self, tracker: Tracker, driving: Runs, smooth: bool = True) -> None:
        self.engines: Mapping[str, str] = {}
        self._tracker = tracker
        self._driving = driving
        self._filter = _steady() if smooth else None
        self._found: FaceParams | None = None
        self._grid: Floats | None = None
        self._at = -np.inf
        self._rest, self._seen_at = Rest(), -np.inf

    def track(self, frame: Frame) -> FaceParams | None:
        """The person's face in the next frame with its grid, or None where there is none.

        A face that stays where it was because it cannot be read keeps its grid.

        Raises:
            EngineError: an engine failed.
        """
        found = self._tracker.track(frame)
        if found is None:
            self._forget()
            return None
        if found is not self._found or self._grid is None:
            if frame.captured_at - self._seen_at > FORGOTTEN_AFTER:
                self._rest.forget()
            self._seen_at = frame.captured_at
            grid = self._drive(frame, found)
            self._found, self._grid = found, self._rest.difference(grid, found.expression)
        return replace(found, grid=self._grid)

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        """All faces of a still picture, the largest first."""
        return self._tracker.locate(pixels)

    def reset(self) -> None:
        """Forget the face."""
        self._tracker.reset()
        self._forget()

    def _forget(self) -> None:
        self._found = self._grid = None
        self._at = -np.inf

    def _drive(self, frame: Frame, found: FaceParams) -> Floats:
        crop, _ = face_crop(frame.pixels, found.pose, SIDE)
        grid = believable(self._driving.run({"driver": crop[None]})["grid"][0], "driving")
        if self._filter is None:
            return grid
        passed = frame.captured_at - self._at
        self._at = frame.captured_at
        if not 0 < passed < LONGEST_GAP:
            self._filter.reset()
            passed = 1.0
        return self._filter(grid.reshape(-1, 2), passed).reshape(CELLS, CELLS, 2)


def _steady() -> OneEuro:
    every = np.ones((CELLS * CELLS, 1), np.float32)
    return OneEuro(every * np.float32(STEADY[0]), every * np.float32(STEADY[1]))
