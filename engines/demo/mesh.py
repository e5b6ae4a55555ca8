"""Quad meshes: reading the MakeHuman base mesh, and Catmull-Clark subdivision as one sparse matrix."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

Array = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Group:
    """Faces of one named group: (F, 4) vertex indices and (F, 4) texture-coordinate indices."""

    quads: Ints
    uv_quads: Ints


def read_obj(path: Path) -> tuple[dict[str, Group], Array]:
    """Groups of quads and the (T, 2) texture coordinates of a Wavefront file made of quads."""
    texture: list[tuple[float, float]] = []
    faces: dict[str, list[list[list[int]]]] = defaultdict(list)
    name = ""
    with path.open() as file:
        for words in map(str.split, file):
            if words[:1] == ["g"]:
                name = words[1]
            elif words[:1] == ["vt"]:
                texture.append((float(words[1]), float(words[2])))
            elif words[:1] == ["f"]:
                faces[name].append([[int(number) - 1 for number in word.split("/")] for word in words[1:]])
    groups = {}
    for key, quads in faces.items():
        table = np.array(quads)  # (F, 4, 2)
        groups[key] = Group(table[:, :, 0], table[:, :, 1])
    return groups, np.array(texture)


def averaging(rows: Ints, columns: Ints, shape: tuple[int, int]) -> sparse.csr_matrix:
    """(shape) matrix whose row r is the mean of the columns paired with r; an empty row stays zero."""
    ones = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
    ones.data[:] = 1.0
    count = np.asarray(ones.sum(1)).ravel()
    return sparse.diags(1 / np.maximum(count, 1)) @ ones


def catmull_clark(count: int, quads: Ints) -> tuple[sparse.csr_matrix, Ints]:
    """One step of Catmull and Clark (1978) over `count` vertices and (F, 4) quads.

    Returns:
        (V', count) matrix that takes old vertices to new ones, and the (4F, 4) new quads. Vertices that
        no quad uses stay where they are.
    """
    faces = len(quads)
    corners = np.repeat(np.arange(faces), 4)
    pairs = np.stack([quads, np.roll(quads, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, edge_of = np.unique(np.sort(pairs, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    number = np.arange(len(edges)).repeat(2)
    face_points = averaging(corners, quads.ravel(), (faces, count))
    middles = averaging(number, edges.ravel(), (len(edges), count))
    border = np.bincount(edge_of, minlength=len(edges)) < 2
    beside = averaging(edge_of, corners, (len(edges), faces)) @ face_points
    inner_edge = sparse.diags(np.where(border, 0.0, 0.5))
    edge_points = middles - inner_edge @ middles + inner_edge @ beside

    valence = np.bincount(quads.ravel(), minlength=count)
    weight = 1 / np.maximum(valence, 1)
    around_faces = averaging(quads.ravel(), corners, (count, faces)) @ face_points
    around_edges = averaging(edges.ravel(), number, (count, len(edges))) @ middles
    moved = (
        sparse.diags(weight) @ around_faces
        + sparse.diags(2 * weight) @ around_edges
        + sparse.diags((valence - 3) * weight)
    )
    rim = edges[border]
    along = averaging(rim.ravel(), np.arange(len(rim)).repeat(2), (count, len(rim))) @ middles[border]
    on_rim = np.zeros(count, dtype=bool)
    on_rim[rim.ravel()] = True
    inside = (valence > 0) & ~on_rim
    half = sparse.diags(on_rim * 0.5)
    unused = sparse.diags((valence == 0) * 1.0)
    vertices = sparse.diags(inside * 1.0) @ moved + half + half @ along + unused
    matrix = sparse.vstack([vertices, edge_points, face_points]).tocsr()
    edge_index = count + edge_of.reshape(faces, 4)
    face_index = count + len(edges) + np.arange(faces)
    parts = [
        np.stack([quads[:, k], edge_index[:, k], face_index, edge_index[:, k - 1]], axis=1) for k in range(4)
    ]
    return matrix, np.concatenate(parts)


def triangles_of(quads: Ints) -> NDArray[np.int32]:
    """(2F, 3) triangles."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def normal_matrix(triangles: NDArray[np.int32], count: int) -> sparse.csr_matrix:
    """(count, T) matrix that sums the triangles' normals at their vertices."""
    rows = triangles.ravel()
    columns = np.repeat(np.arange(len(triangles)), 3)
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(count, len(triangles)))
