"""The face at about 50,000 points, for rendering it smoothly.

Two rounds of Loop's subdivision ("Smooth subdivision surfaces based on triangles", 1987, with Warren's
weights) take the face's vertices to the dense ones. Both are linear, so applied to the mean and to every
basis field they give the matrix that turns parameters into the dense face:
dense(shape(i, e)) = dense(mean) + i @ dense(identity) + e @ dense(expression).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from xpcam.face.model import HEAD, face_model
from xpcam.frame import Floats

Ints = NDArray[np.int64]
ROUNDS = 2


@dataclass(frozen=True, slots=True)
class _Round:
    """One subdivision of V vertices with E edges into V + E.

    Attributes:
        edges: (E, 2) end points. opposite: (E, 2) the triangles' third corners, on a border the ends again.
        keep: (V,) weight of a vertex for itself; neighbour: (V,) weight of each neighbour that counts.
        start, end: (N,) directed pairs of neighbours that count, sorted by start; on a border only its own.
    """

    edges: Ints
    opposite: Ints
    keep: Floats
    neighbour: Floats
    start: Ints
    end: Ints

    def apply(self, field: Floats) -> Floats:
        """(V, C) -> (V + E, C)."""
        around = np.add.reduceat(field[self.end], np.searchsorted(self.start, np.arange(len(field))))
        moved = self.keep[:, None] * field + self.neighbour[:, None] * around
        a, b = field[self.edges[:, 0]], field[self.edges[:, 1]]
        c, d = field[self.opposite[:, 0]], field[self.opposite[:, 1]]
        return np.concatenate([moved, np.float32(0.375) * (a + b) + np.float32(0.125) * (c + d)])


@dataclass(frozen=True, slots=True)
class DenseFace:
    """The operator. D dense points.

    Attributes:
        used: vertices of the model that take part: all but ears, scalp and neck.
        rounds: subdivisions, first to last.
        triangles: (T, 3) int32 over the D points. part: (T,) as in `FaceModel`.
    """

    used: Ints
    rounds: tuple[_Round, ...]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]

    def points(self, field: Floats) -> Floats:
        """(D, C) dense points of a (V, C) field on the model's vertices: places, colours, basis fields."""
        dense = field[self.used]
        for one in self.rounds:
            dense = one.apply(dense)
        return dense


@cache
def dense_face() -> DenseFace:
    """The operator for the shipped face model."""
    model = face_model()
    face = model.part != HEAD
    used, flat = np.unique(model.triangles[face], return_inverse=True)
    triangles, part = flat.reshape(-1, 3).astype(np.int64), model.part[face]
    rounds = []
    count = len(used)
    for _ in range(ROUNDS):
        one, triangles = _subdivide(triangles, count)
        rounds.append(one)
        part, count = np.tile(part, 4), count + len(one.edges)
    return DenseFace(used, tuple(rounds), triangles.astype(np.int32), part)


def _subdivide(triangles: Ints, count: int) -> tuple[_Round, Ints]:
    """One round over `count` vertices, and the (4T, 3) triangles after it."""
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    third = np.concatenate([triangles[:, 2], triangles[:, 0], triangles[:, 1]])
    edges, edge_of = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True)
    edge_of = edge_of.reshape(-1)
    order = np.argsort(edge_of, kind="stable")
    first = np.searchsorted(edge_of[order], np.arange(len(edges)))
    last = np.append(first[1:], len(order)) - 1
    border = first == last
    opposite = np.stack([third[order[first]], third[order[last]]], axis=1)
    opposite[border] = edges[border]  # 3/8 + 1/8 of each end: the middle
    rim = np.zeros(count, bool)
    rim[edges[border]] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    counts = np.concatenate([border, border]) | ~rim[both[:, 0]]  # on a border only its own edges count
    both = both[counts][np.argsort(both[counts][:, 0], kind="stable")]
    valence = np.bincount(both[:, 0], minlength=count)
    neighbour = np.where(rim, 1 / 8, np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1))))
    keep = 1 - valence * neighbour
    one = _Round(
        edges, opposite, keep.astype(np.float32), neighbour.astype(np.float32), both[:, 0], both[:, 1]
    )
    size = len(triangles)
    ab, bc, ca = (count + edge_of[k * size : (k + 1) * size] for k in range(3))
    a, b, c = triangles.T
    corners = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    return one, np.concatenate([np.stack(corner, axis=1) for corner in corners])
