"""How a head is turned, read from any landmarks of its picture: the same for every judge and engine."""

import numpy as np

from engines.face_params.arrays import Floats
from xpcam.face import landmarks as fl

ANGLES = ("pitch", "yaw", "roll")
POSED = 0.02  # spread of an angle, radians, below which a driver does not turn so


def turned(points: Floats) -> Floats:
    """(3,) pitch, yaw, roll of (478, 2) landmarks, radians: the affine map of the mean face onto them."""
    rigid = list(fl.RIGID)
    shape = fl.face_mesh().neutral[rigid]
    known = np.column_stack([shape - shape.mean(axis=0), np.ones(len(rigid))])
    across, down = np.linalg.lstsq(known, points[rigid], rcond=None)[0][:3].T
    scale = (np.linalg.norm(across) + np.linalg.norm(down)) / 2
    angles = np.array([-down[2], across[2], 0.0]) / scale
    angles[2] = np.arctan2(down[0] - across[1], across[0] + down[1])
    return np.asarray([*np.arcsin(np.clip(angles[:2], -1, 1)), angles[2]], np.float32)


def turns_carried(person: Floats, output: Floats) -> dict[str, float]:
    """Correlation and spread of each angle from person to output, (T, 478, 2) each, as far as the person turns."""
    seen = np.isfinite(person[:, 0, 0]) & np.isfinite(output[:, 0, 0])
    theirs, ours = (np.stack([turned(points) for points in faces[seen]]) for faces in (person, output))
    row = {}
    for name, a, b in zip(ANGLES, theirs.T, ours.T, strict=True):
        if a.std() > POSED:
            row[name], row[f"{name}_spread"] = float(np.corrcoef(a, b)[0, 1]), float(b.std() / a.std())
    return row
