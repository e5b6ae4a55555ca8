"""Mouths of MakeHuman's six shapes of teeth, as meshes for `mouth_rendering`.

MakeHuman's teeth and tongue (CC0) are read from their file where somebody has it; nothing of them ships.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from engines.face_params.arrays import Floats
from engines.face_params.mouth_mesh import DEEPEST, GUMS, TEETH, TONGUE, MouthMesh
from xpcam.face.model import normals

ARCH = 0.66  # width of the teeth, outer-eye distances
INCISORS = (0.035, 0.05)  # y and z of the upper ones' edge, from the middle between the lips
TONGUE_WIDTH = 0.72  # share of the lower row's
HINGE = (-0.30, 1.0)  # y and z of the jaw's joint, from that edge


def load_shapes(file: Path) -> list[MouthMesh]:
    """The six of mouth_meshes.npz: `teeth_vertices`, `teeth_faces`, `tongue_vertices`, `tongue_faces`."""
    with np.load(file, allow_pickle=False) as data:
        faces, tongue, tongue_faces = data["teeth_faces"], data["tongue_vertices"], data["tongue_faces"]
        return [mesh_of(teeth, faces, tongue, tongue_faces) for teeth in data["teeth_vertices"]]


def mesh_of(
    teeth: Floats, faces: NDArray[np.int32], tongue: Floats, tongue_faces: NDArray[np.int32]
) -> MouthMesh:
    """One mouth in the frame of `MouthMesh`."""
    tooth, lower_row = _parts(teeth, faces)
    both = np.concatenate([teeth, _laid(tongue, teeth, lower_row)]).astype(np.float32)
    number = np.concatenate([tooth, np.full(len(tongue), TONGUE)]).astype(np.int16)
    incisors = teeth[(tooth == 7) | (tooth == 8)]
    edge = np.array([0.0, incisors[:, 1].min(), incisors[:, 2].max()], np.float32)
    placed = (both - edge) * np.array([1, -1, -1], np.float32) * np.float32(ARCH / np.ptp(teeth[:, 0]))
    lower = np.concatenate([lower_row, np.ones(len(tongue))]).astype(np.float32)
    from_hinge = placed[:, 1:] - np.array(HINGE, np.float32)
    opening = np.zeros_like(placed)
    opening[:, 1], opening[:, 2] = -from_hinge[:, 1] * lower, from_hinge[:, 0] * lower
    placed[:, 1:] += np.array(INCISORS, np.float32)
    triangles = np.concatenate([faces, tongue_faces + len(teeth)])
    facing = normals(placed, triangles)
    ahead = np.cross(
        placed[triangles[:, 1]] - placed[triangles[:, 0]], placed[triangles[:, 2]] - placed[triangles[:, 0]]
    )
    front = (number >= 0) & (placed[:, 2] < INCISORS[1] + 0.02)
    if facing[front, 2].mean() > 0:  # wound the other way
        facing, ahead = -facing, -ahead
    seen = (ahead[:, 2] < 0) & (placed[triangles, 2] < DEEPEST).all(axis=1)
    rows, kept = np.unique(triangles[seen], return_inverse=True)
    return MouthMesh(
        placed[rows], opening[rows], lower[rows], facing[rows], number[rows],
        kept.reshape(-1, 3).astype(np.int32),
    )  # fmt: skip


def _parts(teeth: Floats, faces: NDArray[np.int32]) -> tuple[NDArray[np.int16], Floats]:
    """The tooth of each vertex, upper row first from the person's right, or GUMS; and 1 for what the jaw moves."""
    links = (np.concatenate([faces[:, 0], faces[:, 1]]), np.concatenate([faces[:, 1], faces[:, 2]]))
    graph = coo_array((np.ones(len(links[0])), links), shape=(len(teeth),) * 2)
    count, group = connected_components(graph, directed=False)
    gums = int(np.bincount(group).argmax())
    crowns = [one for one in range(count) if one != gums]
    middles = np.array([teeth[group == one].mean(axis=0) for one in crowns])
    bite = np.array([_bite(middles, z) for z in middles[:, 2]])
    below = middles[:, 1] < bite
    if len(crowns) != TEETH or below.sum() != TEETH // 2:
        raise SystemExit(
            f"found {len(crowns)} teeth, {below.sum()} of them below; wanted {TEETH} in two rows"
        )
    order = np.lexsort((middles[:, 0], below))
    tooth = np.full(len(teeth), GUMS, np.int16)
    for number, one in enumerate(order):
        tooth[group == crowns[one]] = number
    line = np.array([_bite(middles, z) for z in teeth[:, 2]])
    lower = np.where(tooth >= 0, tooth >= TEETH // 2, teeth[:, 1] < line)
    return tooth, np.asarray(lower, np.float32)


def _laid(tongue: Floats, teeth: Floats, lower_row: Floats) -> Floats:
    """The tongue at rest within the lower row; its file has it larger, and higher."""
    row = teeth[lower_row > 0.5]
    low, high = tongue.min(axis=0), tongue.max(axis=0)
    share = TONGUE_WIDTH * np.ptp(row[:, 0]) / (high[0] - low[0])
    tip = np.array([(low[0] + high[0]) / 2, high[1], high[2]])
    place = np.array([0.0, row[:, 1].max(), row[:, 2].max() - 0.1 * np.ptp(row[:, 2])])
    return np.asarray((tongue - tip) * share + place, np.float32)


def _bite(middles: Floats, z: float) -> float:
    """The height between the rows at depth z."""
    near = np.argsort(np.abs(middles[:, 2] - z))[:8]
    return float(middles[near, 1].mean())
