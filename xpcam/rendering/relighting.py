"""Light stays where it is when a head turns: the face is shaded anew, by the ratio of shading.

    ratio = shading(normals as the head is turned) / shading(normals as in the picture)

The target's light is estimated once, as spherical harmonics of its skin's brightness over the surface
normals (Ramamoorthi and Hanrahan 2001; ratio images: Shashua and Riklin-Raviv 2001). The ratio is drawn over
the mesh at a small fraction of the resolution, for it changes smoothly, and only the face is multiplied.
"""

from functools import cache

import cv2
import numpy as np

from xpcam.face.landmarks import (
    FACE_OVAL,
    FACE_POINTS,
    INNER_LIPS,
    LEFT_BROW,
    LEFT_EYE,
    OUTER_LIPS,
    RIGHT_BROW,
    RIGHT_EYE,
    face_mesh,
    rotation_matrix,
    rotation_vector,
    unpose,
)
from xpcam.face.model import harmonics, normals
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.retargeting.outline import outline
from xpcam.target.still import OPENINGS, Target
from xpcam.warping.mesh_warp import MeshRasteriser, sample

COARSE = 8  # the ratio is drawn at this fraction of the resolution
UNIT = 160.0  # what a ratio of 1 is in 8 bits
LEAST, MOST = 0.7, 1.4  # of the ratio
STRENGTH = 0.8  # how much of it is believed: skin is not of one colour, and casts shadows
FROM = 0.01  # radians of turn below which nothing is shaded anew
SMOOTH = 0.05  # of the picture in which the light is read, in outer-eye distances
STIFF = (0.0, 1.0, 1.0, 1.0, 8.0, 8.0, 8.0, 8.0, 8.0)  # how little is believed of each harmonic, per cent
ROBUST = 0.12  # share of the brightness beyond which a place of the skin is an outlier
DARKEST = 0.35  # shading never falls below this share of the brightest


class Light:
    """The light on one target's face, and what it does when the head turns.

    Args:
        picture: (H, W, 3).
        params: the face in it.
    """

    def __init__(self, picture: Pixels, params: FaceParams) -> None:
        face = unpose(params.landmarks, params.pose)[:FACE_POINTS]
        self._normals = _smoothed_normals(face)
        self._still = rotation_matrix(params.pose.rotation)
        terms = harmonics(self._normals @ self._still.T)
        self._light = _fit(terms, _brightness(picture, params), _skin())
        self._before = self._shading(terms)
        self._share = STRENGTH * (1.0 - outline().share[:FACE_POINTS, 0])

    def ratio(self, pose: Pose) -> Floats | None:
        """(468,) how much brighter each landmark is at `pose` than in the picture; None if hardly turned."""
        rotation = rotation_matrix(pose.rotation)
        if np.linalg.norm(rotation_vector(rotation @ self._still.T)) < FROM:
            return None
        after = self._shading(harmonics(self._normals @ rotation.T))
        return np.asarray(1.0 + (np.clip(after / self._before, LEAST, MOST) - 1.0) * self._share, np.float32)

    def _shading(self, terms: Floats) -> Floats:
        light = terms @ self._light
        return np.asarray(np.maximum(light, DARKEST), np.float32)


class Relighter:
    """Shades one target's face anew when its head turns.

    Args:
        target: the target.
        size: (width, height) of the region that is drawn, pixels.
    """

    def __init__(self, target: Target, size: tuple[int, int]) -> None:
        self._light = Light(target.picture, target.params)
        self._values = np.ones((len(target.mesh.still), 3), np.float32)
        small = (max(2, -(-size[0] // COARSE)), max(2, -(-size[1] // COARSE)))
        one = np.full((small[1], small[0], 3), UNIT / 255, np.float32)
        self._rasteriser = MeshRasteriser(target.mesh.triangles, small, one)

    def shade(self, moving: Pixels, points: Floats, depth: Floats, pose: Pose) -> None:
        """Shade `moving`, (h, w, 3) the region with its mesh at (V, 2) `points`, in place."""
        ratio = self._light.ratio(pose)
        if ratio is None:
            return
        self._values[:FACE_POINTS] = ratio[:, None] * (UNIT / 255)
        self._values[FACE_POINTS : FACE_POINTS + len(OPENINGS)] = self._values[list(OPENINGS)]
        self._values[FACE_POINTS + len(OPENINGS) :] = UNIT / 255
        offset = np.float32((COARSE - 1) / 2)
        drawn = self._rasteriser.draw(np.asarray((points - offset) / COARSE, np.float32), self._values, depth)
        rows, columns = self._around(points)
        small = cv2.convertScaleAbs(cv2.extractChannel(drawn[rows, columns], 0), alpha=255.0)
        view = moving[
            rows.start * COARSE : rows.stop * COARSE, columns.start * COARSE : columns.stop * COARSE
        ]
        size = ((columns.stop - columns.start) * COARSE, (rows.stop - rows.start) * COARSE)
        factor = cv2.resize(small, size, interpolation=cv2.INTER_LINEAR)[: view.shape[0], : view.shape[1]]
        cv2.multiply(view, cv2.cvtColor(factor, cv2.COLOR_GRAY2BGR), dst=view, scale=1 / UNIT)

    def _around(self, points: Floats) -> tuple[slice, slice]:
        """Rows and columns of the small drawing that hold the face."""
        oval = points[list(FACE_OVAL)] / COARSE
        most = self._rasteriser.size
        low = np.clip(np.floor(oval.min(axis=0)), 0, np.array(most) - 1).astype(int)
        high = np.clip(np.ceil(oval.max(axis=0)) + 1, low + 1, most).astype(int)
        return slice(int(low[1]), int(high[1])), slice(int(low[0]), int(high[0]))


def _smoothed_normals(face: Floats) -> Floats:
    """(468, 3) normals of a frontal face, out of it, without the tracker's small bumps."""
    triangles = face_mesh().triangles
    result = np.asarray(-normals(face, triangles))  # the mesh's triangles go round the other way
    for _ in range(2):
        mean = result[triangles].sum(axis=1)
        total = result.copy()
        for corner in range(3):
            np.add.at(total, triangles[:, corner], mean)
        result = np.asarray(total / np.linalg.norm(total, axis=1, keepdims=True), np.float32)
    return result


def _brightness(picture: Pixels, params: FaceParams) -> Floats:
    """(468,) how bright the picture is around each landmark, relative to the median."""
    points = params.landmarks[:FACE_POINTS, :2]
    low = np.clip(np.floor(points.min(axis=0)), 0, np.array(picture.shape[1::-1]) - 2).astype(int)
    high = np.clip(np.ceil(points.max(axis=0)) + 1, low + 2, picture.shape[1::-1]).astype(int)
    grey = cv2.cvtColor(picture[low[1] : high[1], low[0] : high[0]], cv2.COLOR_BGR2GRAY)
    step = max(1.0, SMOOTH * params.pose.scale)
    size = tuple(max(2, round(side / step)) for side in grey.shape[::-1])
    small = cv2.resize(grey, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    share = np.array(size, np.float32) / np.array(grey.shape[::-1], np.float32)
    where = ((points - low + 0.5) * share - 0.5).astype(np.float32)[None]
    values = sample(cv2.GaussianBlur(small, (0, 0), 0.8), where)[0]
    return np.asarray(values / max(float(np.median(values)), 1.0), np.float32)


@cache
def _skin() -> Floats:
    """(468,) 1 where there is bare skin, 0 at eyes, brows, lips and the outline."""
    face = face_mesh().neutral[:FACE_POINTS]
    hair = [*RIGHT_BROW, *LEFT_BROW, *RIGHT_EYE, *LEFT_EYE, *OUTER_LIPS, *INNER_LIPS]
    away = np.linalg.norm(face[:, None, :2] - face[None, hair, :2], axis=-1).min(axis=1)
    bare = (away > 0.05) & (outline().share[:FACE_POINTS, 0] < 0.9)
    return np.asarray(bare, np.float32)


def _fit(terms: Floats, brightness: Floats, weights: Floats) -> Floats:
    """(9,) light under which skin of one colour has this brightness, by reweighted least squares."""
    stiff = np.diag(np.array(STIFF) / 100 * weights.sum())
    believed = weights
    for _ in range(6):
        weighted = terms.T * believed
        light = np.linalg.solve(weighted @ terms + stiff, weighted @ brightness)
        off = np.abs(terms @ light - brightness) / ROBUST
        believed = np.asarray(weights / np.maximum(off, 1.0), np.float32)
    return np.asarray(light, np.float32)
