"""What the outline of a face does is what the blend shapes say of its inside."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xpcam.face.landmarks import FACE_OVAL, face_mesh
from xpcam.frame import Floats

OUTLINE = (0.72, 0.95)  # shares of the way from the face's middle to its oval between which it begins
RIDGE = 4e-4  # squared: landmarks are off by about 0.01, weights spread by about 0.5


@dataclass(frozen=True, slots=True)
class Outline:
    """How the outline of the face follows its inside, through the blend shapes.

    Attributes:
        share: (478, 1) how much a landmark belongs to the outline, 0 to 1.
        weights: (51, 2 * I) from the x and y offsets of the inner landmarks to blend-shape weights.
        shapes: (51, 478 * 3) the blend shapes.
        inner: (I,) indices of the inner landmarks.
    """

    share: Floats
    weights: Floats
    shapes: Floats
    inner: NDArray[np.int64]


@cache
def outline() -> Outline:
    """Ridge regression of the blend shapes on the inner landmarks, made once."""
    mesh = face_mesh()
    oval = mesh.neutral[list(FACE_OVAL), :2]
    centre = oval.mean(axis=0)
    border = oval - centre
    order = np.argsort(angles := np.arctan2(border[:, 1], border[:, 0]))
    away = mesh.neutral[:, :2] - centre
    radius = np.interp(
        np.arctan2(away[:, 1], away[:, 0]),
        angles[order],
        np.linalg.norm(border, axis=1)[order],
        period=2 * np.pi,
    )
    reach = np.clip(
        (np.linalg.norm(away, axis=1) / radius - OUTLINE[0]) / (OUTLINE[1] - OUTLINE[0]), 0.0, 1.0
    )
    inner = np.flatnonzero(reach == 0.0)
    seen = mesh.basis[:, inner, :2].reshape(len(mesh.basis), -1).astype(np.float64)
    weights = np.linalg.solve(seen @ seen.T + RIDGE * np.eye(len(seen)), seen)
    return Outline(
        (reach * reach * (3.0 - 2.0 * reach))[:, None].astype(np.float32),
        weights.astype(np.float32),
        mesh.basis.reshape(len(mesh.basis), -1),
        inner,
    )


def believable(offsets: Floats) -> Floats:
    """(478, 3) offsets whose outline does what the blend shapes say of the inside.

    Landmarks of jaw and temples slide along the silhouette as the head turns: what they seem to do there
    is no expression.
    """
    line = outline()
    weights = line.weights @ offsets[line.inner, :2].ravel()
    implied = (weights @ line.shapes).reshape(offsets.shape)
    return np.asarray(offsets + line.share * (implied - offsets), np.float32)
