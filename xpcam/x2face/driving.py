"""Camera frame -> grid: the tracker of the X2Face engine. Camera pixels end here; what leaves are numbers."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from xpcam.face.head_crop import face_crop
from xpcam.frame import FaceParams, Floats, Frame, Pixels
from xpcam.tracking.smoothing import OneEuro
from xpcam.warping.grids import CELLS
from xpcam.x2face.embedding import Runs, believable

SIDE: Final = 256
"""Side of the crop that the driving network takes, pixels."""
STEADY: Final = (5.0, 60.0)  # cut-off at rest in hertz, and per half crop and second (`tracking.smoothing`)
LONGEST_GAP: Final = 0.5  # seconds without a grid after which the past no longer counts


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
            self._found, self._grid = found, self._drive(frame, found)
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
