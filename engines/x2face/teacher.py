"""What an act wants of the driving network: where the embedded face's landmarks go, and the grid that says so."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats
from engines.x2face.heads import GRID
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import canonical
from xpcam.warping.mesh_warp import MeshRasteriser

MOST = 5.0  # weight of a landmark of the lids
AROUND = np.ones((5, 3), np.uint8)  # cells around a resting eye that count as it does


def acted_by_all(landmarks: Floats, own: Floats) -> Floats:
    """(K, 478, 2) the acts as the embedded face plays them.

    What several people look like in an act, less what their faces have that the embedded one has not: seen as the
    act has it, turned and foreshortened.

    Args:
        landmarks: (I, K, 478, 2) of everybody in each act.
        own: (I, 478, 2) of their own embedded faces.
    """
    common = canonical()
    mean = own.mean(axis=0)
    known = np.column_stack([mean, np.ones(len(mean), np.float32)])
    rows = []
    for points in landmarks.mean(axis=0):
        seen_as = np.linalg.lstsq(known, points, rcond=None)[0][:2]
        rows.append(points - (mean - common) @ seen_as)
    return np.stack(rows).astype(np.float32)


def held_like(acted: Floats) -> Floats:
    """(478, 2) the embedded face at rest, turned and foreshortened as in an act (478, 2)."""
    rigid, face = list(fl.RIGID), np.column_stack([canonical(), np.ones(fl.LANDMARKS, np.float32)])
    return np.asarray(face @ np.linalg.lstsq(face[rigid], acted[rigid], rcond=None)[0], np.float32)


def landmark_weights() -> Floats:
    """(478,) what counts of the landmarks: lids and lips most."""
    weight = np.full(fl.LANDMARKS, 0.5, np.float32)
    weight[[*fl.RIGHT_BROW, *fl.LEFT_BROW, *fl.OUTER_LIPS, *fl.INNER_LIPS]] = 3.0
    weight[[*fl.RIGHT_EYE, *fl.LEFT_EYE]] = MOST
    return weight


class Teacher:
    """Draws the driving grid that an act wants: each triangle of the acting face is filled from the embedded one."""

    def __init__(self) -> None:
        mesh = fl.face_mesh()
        self._raster = MeshRasteriser(mesh.triangles, (GRID, GRID))
        self._depth: Floats = mesh.neutral[: fl.FACE_POINTS, 2].copy()
        values = [(canonical() + 1) / 2, landmark_weights()[:, None] / MOST]
        self._values: Floats = np.hstack(values)[: fl.FACE_POINTS].astype(np.float32)

    def grid(self, acted: Floats, posed: Floats) -> tuple[Floats, Floats]:
        """(2, 128, 128) -1 to 1, and (1, 128, 128) what counts of it: 0 beyond the face.

        Where eyes and mouth are at rest counts as much when they shut as when they open.
        """
        resting = self._drawn(posed)[..., 2:].copy()
        drawn = self._drawn(acted)
        weight = np.where(
            drawn[..., 2:] > 0, np.maximum(drawn[..., 2:], cv2.dilate(resting, AROUND)[..., None]), 0
        )
        return drawn[..., :2].transpose(2, 0, 1) * 2 - 1, weight.transpose(2, 0, 1) * MOST

    def _drawn(self, at: Floats) -> Floats:
        points = (at[: fl.FACE_POINTS] + 1) * (GRID / 2) - 0.5
        return np.asarray(self._raster.draw(np.asarray(points, np.float32), self._values, self._depth))
