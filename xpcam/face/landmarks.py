"""The face at landmark resolution: what the 478 landmarks are called, where they lie, how they connect.

Landmark order is MediaPipe's face mesh: 468 points of the surface, then five points of each iris.
"Left" and "right" are the person's own, so the right eye lies left in an unmirrored picture.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats, Pose
from xpcam.resources import shipped

LANDMARKS = 478
FACE_POINTS = 468
FOREHEAD, CHIN = 10, 152
EYE_CORNERS = (33, 263)
MOUTH_CORNERS = (61, 291)

# Closed contours, in order around the opening.
RIGHT_EYE = (33, 246, 161, 160, 159, 158, 157, 173, 133, 155, 154, 153, 145, 144, 163, 7)
LEFT_EYE = (263, 466, 388, 387, 386, 385, 384, 398, 362, 382, 381, 380, 374, 373, 390, 249)
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
OUTER_LIPS = (61, 185, 40, 39, 37, 0, 267, 269, 270, 409, 291, 375, 321, 405, 314, 17, 84, 181, 91, 146)
RIGHT_BROW = (70, 63, 105, 66, 107, 55, 65, 52, 53, 46)
LEFT_BROW = (300, 293, 334, 296, 336, 285, 295, 282, 283, 276)
RIGHT_IRIS = (468, 469, 470, 471, 472)
LEFT_IRIS = (473, 474, 475, 476, 477)
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)
# fmt: on

# Each upper lid point with the lower lid point beneath it, outer corner to inner.
RIGHT_LIDS = tuple(zip(RIGHT_EYE[1:8], RIGHT_EYE[:8:-1], strict=True))
LEFT_LIDS = tuple(zip(LEFT_EYE[1:8], LEFT_EYE[:8:-1], strict=True))
# The skin above each upper lid: at its crease, then between crease and brow.
RIGHT_LID_SKIN = (247, 30, 29, 27, 28, 56, 190, 113, 225, 224, 223, 222, 221, 189)
LEFT_LID_SKIN = (467, 260, 259, 257, 258, 286, 414, 342, 445, 444, 443, 442, 441, 413)
# Each upper inner lip point with the lower one beneath it.
LIPS_APART = tuple(zip(INNER_LIPS[1:10], INNER_LIPS[:10:-1], strict=True))

# Points that facial expression hardly moves: forehead, temples, nose bridge, eye corners.
RIGID = (10, 338, 297, 109, 67, 168, 6, 197, 195, 33, 133, 362, 263, 127, 356, 234, 454, 21, 251)


@dataclass(frozen=True, slots=True)
class FaceMesh:
    """The mean face, its blend shapes and its triangles.

    Attributes:
        neutral: (478, 3) float32; outer eye corners 1 unit apart, their midpoint the origin,
            x right, y down, z away from the camera.
        basis: (51, 478, 3) float32, displacement of each landmark by one ARKit blend shape at weight 1.
        blendshape_names: ARKit's names, all 52 but tongueOut, which the labels do not have.
        mirror: (478,) index of each landmark's partner on the other side.
        triangles: (T, 3) int32 landmark indices, the iris points not among them.
        triangle_part: (T,) uint8, 0 skin, 1 eye opening, 2 mouth opening.
    """

    neutral: Floats
    basis: Floats
    blendshape_names: tuple[str, ...]
    mirror: NDArray[np.int64]
    triangles: NDArray[np.int32]
    triangle_part: NDArray[np.uint8]


@cache
def face_mesh() -> FaceMesh:
    """The shipped face mesh (built by engines/face_params/build_face_mesh.py), loaded once."""
    with np.load(shipped("face_mesh.npz"), allow_pickle=False) as data:
        return FaceMesh(
            neutral=data["neutral"],
            basis=data["basis"].astype(np.float32),
            blendshape_names=tuple(str(name) for name in data["blendshape_names"]),
            mirror=data["mirror"].astype(np.int64),
            triangles=data["triangles"].astype(np.int32),
            triangle_part=data["triangle_part"],
        )


def fit_pose(landmarks: Floats) -> Pose:
    """Head pose of (478, 3) landmarks by weak-perspective alignment of the mean face.

    The similarity between the rigid landmarks and the mean face's; expression hardly enters, because only
    points that it hardly moves are used.
    """
    rigid = list(RIGID)
    rotation, scale, shift = similarity(face_mesh().neutral[rigid], landmarks[rigid])
    return Pose(rotation_vector(rotation), shift[:2].astype(np.float32), scale)


def similarity(source: NDArray[Any], goal: NDArray[Any]) -> tuple[NDArray[Any], float, NDArray[Any]]:
    """Least-squares rotation (3, 3), scale and shift (3,) from source to goal, (N, 3) each.

    goal = scale * source @ rotation.T + shift (Umeyama 1991).
    """
    a, b = source - source.mean(axis=0), goal - goal.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))], s.dtype)
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (a * a).sum())
    return rotation, scale, goal.mean(axis=0) - scale * rotation @ source.mean(axis=0)


def rotation_matrix(rotation: Floats) -> Floats:
    """(3, 3) matrix of an axis-angle rotation in radians."""
    return np.asarray(cv2.Rodrigues(np.asarray(rotation, np.float64))[0], np.float32)


def rotation_vector(matrix: Floats) -> Floats:
    """(3,) axis-angle in radians of a (3, 3) rotation matrix."""
    return np.asarray(cv2.Rodrigues(np.asarray(matrix, np.float64))[0], np.float32).ravel()


def outer_eye_distance(landmarks: Floats) -> float:
    """Distance of the outer eye corners in the landmarks' own unit, depth included: the face's ruler."""
    return float(np.linalg.norm(landmarks[EYE_CORNERS[1]] - landmarks[EYE_CORNERS[0]]))


def unpose(landmarks: Floats, pose: Pose, depth: float | None = None) -> Floats:
    """Landmarks in pixels -> the same face turned to the front, in the mean face's unit and place.

    Args:
        landmarks: (N, 3) pixels; all 478 unless `depth` is given.
        pose: their head pose.
        depth: z of the face's origin in pixels; by default where the rigid landmarks say it is.
    """
    rotation = rotation_matrix(pose.rotation)
    if depth is None:
        rigid = list(RIGID)
        depth = float(
            landmarks[rigid, 2].mean() - pose.scale * (face_mesh().neutral[rigid] @ rotation[2]).mean()
        )
    shift = np.array([pose.translation[0], pose.translation[1], depth], np.float32)
    return np.asarray((landmarks - shift) @ rotation / pose.scale, np.float32)


def apply_pose(face: Floats, pose: Pose) -> Floats:
    """(N, 3) points of a frontal face -> pixels, by the pose; the inverse of `unpose` with depth 0."""
    moved = face @ rotation_matrix(pose.rotation).T * np.float32(pose.scale)
    moved[:, :2] += pose.translation
    return moved


@cache
def columns(pairs: tuple[tuple[int, int], ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """(upper, lower) landmark pairs as two index arrays."""
    upper, lower = np.array(pairs, np.intp).T
    return upper, lower


def gap(face: Floats, pairs: tuple[tuple[int, int], ...]) -> float:
    """Mean opening between (upper, lower) landmark pairs of a frontal face, never negative."""
    upper, lower = columns(pairs)
    return float(np.maximum(face[lower, 1] - face[upper, 1], 0.0).sum()) / len(upper)


def gaps(faces: Floats, pairs: tuple[tuple[int, int], ...]) -> Floats:
    """(M,) `gap` of each of (M, 478, 3) frontal faces."""
    upper, lower = columns(pairs)
    return np.asarray(np.maximum(faces[:, lower, 1] - faces[:, upper, 1], 0.0).mean(axis=1))


@cache
def region_weights() -> Floats:
    """(478, 3) share of mouth, eyes and brows in each landmark's motion, from the blend shapes' reach."""
    mesh = face_mesh()
    energy = np.zeros((3, LANDMARKS), np.float32)
    for name, field in zip(mesh.blendshape_names, mesh.basis, strict=True):
        region = 1 if name.startswith("eye") else 2 if name.startswith("brow") else 0
        energy[region] += (field[:, :2] ** 2).sum(axis=1)
    share = energy / (energy.sum(axis=0) + 1e-9)
    share[:, [*RIGHT_EYE, *LEFT_EYE, *RIGHT_IRIS, *LEFT_IRIS]] = np.array([[0.0], [1.0], [0.0]])
    return np.ascontiguousarray(share.T)
