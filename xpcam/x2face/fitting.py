"""The embedded face of a target, made exact where its landmarks are known.

The embedding network says roughly where each place of the embedded face is in the target's picture. Where the
face is, the target's own landmarks say it better: each triangle of the mesh between them is taken from where
it is. What that changes fades away around the face.
"""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.face.embedded_face import canonical, embedded_face, frontal
from xpcam.face.head_crop import in_crop
from xpcam.face.landmarks import FACE_POINTS, face_mesh
from xpcam.frame import Floats, Pose
from xpcam.warping.grids import FINE, enlarged, identity, inverted
from xpcam.warping.mesh_warp import MeshRasteriser

HALF: Final = FINE // 2
"""Cells of a side on which a face goes on beyond itself: it is smooth there, and wide blurs are slow."""
AROUND: Final = (1.0, 2.0, 4.0, 8.0, 16.0)  # such cells over which it does


@dataclass(frozen=True, slots=True)
class EmbeddedFace:
    """Both ways between a target's crop and its embedded face.

    Attributes:
        source: (256, 256, 2) where each cell of the embedded face samples the crop.
        back: (256, 256, 2) where each cell of the crop lies in the embedded face with such lips.
    """

    source: Floats
    back: Floats


def unfitted(embedding: Floats) -> EmbeddedFace:
    """As the network's grid (n, n, 2) has it."""
    source = enlarged(embedding, FINE)
    return EmbeddedFace(source, inverted(source))


def fitted(embedding: Floats, landmarks: Floats, pose: Pose, apart: float = 1.0) -> EmbeddedFace:
    """The network's grid (n, n, 2) and what the face's landmarks say.

    Args:
        landmarks: (478, 2 or 3) in the target's picture, pixels.
        pose: by which its crop was cut.
        apart: how far its lips are apart, as `embedded_face` takes it.
    """
    own = in_crop(landmarks, pose)
    rough = enlarged(embedding, FINE)
    exact, face = _drawn(canonical(), own)
    source = rough + continued(exact - rough, face)
    exact, face = _drawn(own, frontal(embedded_face(apart)))
    back = inverted(source, start=np.where(face, exact, identity(FINE)))
    return EmbeddedFace(source, np.where(face, exact, back))


def _drawn(at: Floats, values: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(256, 256, 2) values (478, 2) of landmarks at (478, 2), and (256, 256, 1) where a face is."""
    mesh = face_mesh()
    raster = MeshRasteriser(mesh.triangles, (FINE, FINE))
    colours = np.hstack([(values + 2) / 4, np.ones((len(values), 1), np.float32)])[:FACE_POINTS]
    points = (at[:FACE_POINTS] + 1) * np.float32(FINE / 2) - np.float32(0.5)
    drawn = raster.draw(points, colours, mesh.neutral[:FACE_POINTS, 2])
    return drawn[..., :2] * 4 - 2, drawn[..., 2:] > 0.5


def continued(
    values: Floats, known: NDArray[np.bool_], cells: int = HALF, around: tuple[float, ...] = AROUND
) -> Floats:
    """(n, n, 2) values that are known in some cells (n, n, 1), going on beyond them and fading away.

    Args:
        cells: of a side, on which that is done.
        around: so many of those it goes on, a little more each time.
    """
    inside, weight = (
        np.asarray(cv2.resize(one, (cells, cells), interpolation=cv2.INTER_AREA), np.float32)
        for one in (np.where(known, values, np.float32(0)), known.astype(np.float32))
    )
    result, sure = inside, weight[..., None]
    for reach in around:
        near = cv2.GaussianBlur(weight, (0, 0), reach)[..., None]
        mean = cv2.GaussianBlur(inside, (0, 0), reach) / np.maximum(near, 1e-6)
        share = (1 - sure) * np.clip(near * 3, 0, 1)
        result = np.asarray(result + share * mean, np.float32)
        sure = np.asarray(sure + share, np.float32)
    return np.where(known, values, enlarged(result, len(values)))
