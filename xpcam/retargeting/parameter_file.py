"""A file of expressions in place of a camera: its rows become motions, at their own times.

No face is tracked and no neutral face learned: blend shapes, head and gaze of the file say what to do.
"""

from pathlib import Path

import numpy as np

from xpcam.face.landmarks import LEFT_LIDS, RIGHT_LIDS, gap, rotation_vector
from xpcam.face.model import TONGUE_OUT, face_model
from xpcam.frame import Floats
from xpcam.retargeting.retargeter import Motion
from xpcam.tracking import live_link

LONGEST_GAP = 0.5  # seconds between two rows over which is not interpolated


class ParameterFile:
    """The motions of a file that `live_link` reads.

    Attributes:
        duration: seconds, the last row's own time included.
        rate: rows a second.
        description: what it is, for the log.
    """

    def __init__(self, path: Path) -> None:
        """Raises CameraError where the file cannot be used."""
        self._take = live_link.read(path)
        times = self._take.seconds
        step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
        self.rate = float(np.clip(1.0 / step, 1.0, 120.0)) if step > 0 else 30.0
        self.duration = float(times[-1]) + 1.0 / self.rate
        self.description = f"{path.name}: {len(times)} rows at {self.rate:.4g} a second"

    def motion(self, seconds: float) -> Motion | None:
        """What the face does at `seconds` from the first row, between two rows both; None without a face."""
        take = self._take
        after = int(np.searchsorted(take.seconds, seconds, side="right"))
        first, second = max(after - 1, 0), min(after, len(take.seconds) - 1)
        apart = float(take.seconds[second] - take.seconds[first])
        if not 0.0 < apart <= LONGEST_GAP or np.isnan(take.expression[second, 0]):
            second, apart = first, 1.0
        if np.isnan(take.expression[first, 0]):
            return None
        share = np.float32(np.clip((seconds - take.seconds[first]) / apart, 0.0, 1.0))
        expression, head, gaze = (
            rows[first] + share * (rows[second] - rows[first])
            for rows in (take.expression, take.head, take.gaze)
        )
        return motion_of(expression, rotation_vector(live_link.head_rotation(head)), gaze)


def motion_of(expression: Floats, turn: Floats, gaze: Floats) -> Motion:
    """The motion of (52,) ARKit weights, (3,) axis-angle turn of the head, (2, 2) gaze as in `FaceParams`."""
    neutral, shapes = face_model().landmark_mean, face_model().landmark_expression
    offsets = (expression @ shapes.reshape(len(shapes), -1)).reshape(neutral.shape)
    opened = [gap(neutral + offsets, lids) / gap(neutral, lids) for lids in (RIGHT_LIDS, LEFT_LIDS)]
    lids, tongue = np.array(opened, np.float32), float(expression[TONGUE_OUT])
    return Motion(offsets, lids, turn, np.zeros(2, np.float32), 0.0, gaze, tongue=tongue)
