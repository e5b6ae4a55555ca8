"""Closest points of a triangle mesh, as triangle and barycentric weights."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engines.demo.mesh import Array

NEAREST = 48  # triangles, by their middles, that are looked at for each point


def closest(points: Array, vertices: Array, triangles: NDArray[np.int32]) -> tuple[NDArray[np.int64], Array]:
    """For each of (N, 3) points the triangle (N,) on which the surface is nearest, and weights (N, 3) in it."""
    corners = vertices[triangles]  # (T, 3, 3)
    near = cKDTree(corners.mean(axis=1)).query(points, k=min(NEAREST, len(triangles)))[1]  # (N, K)
    a, b, c = (corners[near][:, :, k] for k in range(3))
    candidates = [_inside(points[:, None], a, b, c), *_on_edges(points[:, None], a, b, c)]
    best, weights = np.full(near.shape, np.inf), np.zeros((*near.shape, 3))
    for found in candidates:
        place = found[..., :1] * a + found[..., 1:2] * b + found[..., 2:] * c
        distance = np.linalg.norm(place - points[:, None], axis=2)
        better = (found.min(axis=2) >= -1e-9) & (distance < best)
        best[better], weights[better] = distance[better], found[better]
    row, column = np.arange(len(points)), best.argmin(axis=1)
    return near[row, column], np.clip(weights[row, column], 0, 1)


def _inside(p: Array, a: Array, b: Array, c: Array) -> Array:
    """Weights of the points' feet on the triangles' planes; negative where a foot is outside."""
    u, v, w = b - a, c - a, p - a
    uu, uv, vv, wu, wv = ((x * y).sum(-1) for x, y in ((u, u), (u, v), (v, v), (w, u), (w, v)))
    area = uu * vv - uv * uv + 1e-30
    second, third = (vv * wu - uv * wv) / area, (uu * wv - uv * wu) / area
    return np.stack([1 - second - third, second, third], axis=-1)


def _on_edges(p: Array, a: Array, b: Array, c: Array) -> list[Array]:
    """Weights of the closest points of each edge."""
    found = []
    for first, (start, end) in enumerate(((a, b), (b, c), (c, a))):
        along = end - start
        share = np.clip(((p - start) * along).sum(-1) / ((along * along).sum(-1) + 1e-30), 0, 1)
        weights = np.zeros((*share.shape, 3))
        weights[..., first], weights[..., (first + 1) % 3] = 1 - share, share
        found.append(weights)
    return found
