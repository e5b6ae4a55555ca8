"""What an act wants of the driving network: where the embedded face's landmarks go, and the grid that says so."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats
from engines.x2face.heads import GRID
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import canonical
from xpcam.warping.grids import identity
from xpcam.warping.mesh_warp import MeshRasteriser
from xpcam.x2face.fitting import continued

MOST = 5.0  # weight of a landmark of the lids
AROUND = np.ones((5, 3), np.uint8)  # cells around a resting eye that count as it does
PASSES = (1.0, 2.0, 4.0, 8.0)  # quarter cells over which the face passes into the head
BEYOND = 0.1  # weight of what is no face
HEAD, STILL = (
    0.6,
    1.05,
)  # so far from the middle the head's motion is all of what lies beyond its face, and nothing


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


def beyond(posed: Floats) -> Floats:
    """(128, 128, 2) the grid of a head (478, 2) held as `posed`, as if all were one plane; still towards the border."""
    face = np.column_stack([canonical(), np.ones(fl.LANDMARKS, np.float32)])
    held = np.linalg.lstsq(face, posed, rcond=None)[0]
    rest = identity(GRID)
    moved = (rest - held[2]) @ np.linalg.inv(held[:2])
    share = np.clip((STILL - np.linalg.norm(rest, axis=-1, keepdims=True)) / (STILL - HEAD), 0, 1)
    return np.asarray(rest + (moved - rest) * share, np.float32)


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
        """(2, 128, 128) -1 to 1, and (1, 128, 128) what counts of it.

        Where eyes and mouth are at rest counts as much when they shut as when they open. Beyond the face the
        grid passes into that of the head as it is held, and counts little.
        """
        resting = self._drawn(posed)[..., 2:].copy()
        drawn, head = self._drawn(acted), beyond(posed)
        face = drawn[..., 2:] > 0
        grid = head + continued(drawn[..., :2] * 2 - 1 - head, face, GRID // 4, PASSES)
        weight = np.maximum(drawn[..., 2:], cv2.dilate(resting, AROUND)[..., None]) * np.float32(MOST)
        weight = np.where(face, weight, np.float32(BEYOND))
        return grid.transpose(2, 0, 1), weight.transpose(2, 0, 1)

    def _drawn(self, at: Floats) -> Floats:
        points = (at[: fl.FACE_POINTS] + 1) * (GRID / 2) - 0.5
        return np.asarray(self._raster.draw(np.asarray(points, np.float32), self._values, self._depth))
