"""A differentiable rasteriser in plain PyTorch, vectorised over pictures, triangles and pixels.

Which triangle a pixel shows is decided without gradients: every triangle tests the few pixels of a window at its
own corner, and the nearest one wins by one scatter. Then each pixel's barycentric coordinates are computed
again from its triangle's corners, so that gradients reach colours, normals and places (as in Genova et al.,
Unsupervised Training for 3D Morphable Model Regression, CVPR 2018, section 3; silhouettes have none).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

DEPTHS = 1 << 24  # steps of depth that are told apart
NEAREST, FARTHEST = -4.0, 4.0  # of the depths that are drawn, units of the face model


@dataclass(frozen=True, slots=True)
class Drawn:
    """What each pixel shows.

    Attributes:
        triangle: (B, H, W) index of the triangle, 0 where there is none.
        seen: (B, H, W) bool, whether there is one.
        weights: (B, H, W, 3) barycentric coordinates in it, with gradients to the vertices' places.
    """

    triangle: Tensor
    seen: Tensor
    weights: Tensor


def barycentric(corners: Tensor, at: Tensor) -> Tensor:
    """Coordinates (..., 3) of points `at` (..., 2) in triangles `corners` (..., 3, 2); they sum to 1."""
    a, b, c = corners.unbind(-2)
    first, second, to = b - a, c - a, at - a
    area = first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0]
    area = torch.where(area.abs() < 1e-6, torch.full_like(area, 1e-6), area)
    v = (to[..., 0] * second[..., 1] - to[..., 1] * second[..., 0]) / area
    w = (first[..., 0] * to[..., 1] - first[..., 1] * to[..., 0]) / area
    return torch.stack([1 - v - w, v, w], dim=-1)


@torch.no_grad()
def visible(
    places: Tensor, depth: Tensor, triangles: Tensor, size: int, window: int
) -> tuple[Tensor, Tensor]:
    """The nearest triangle at each pixel centre of a (size, size) picture.

    Args:
        places: (B, V, 2) pixels, x right, y down; pixel (i, j) has its centre at (j, i).
        depth: (B, V), larger is farther away.
        triangles: (T, 3) vertex indices; counter-clockwise seen from outside, y down: others face away.
        window: side of the square of pixels that each triangle tests; larger triangles are left out.

    Returns:
        (B, size, size) index of the triangle (0 where none) and whether there is one.
    """
    batch = len(places)
    corners = places[:, triangles]  # (B, T, 3, 2)
    low, high = corners.amin(2), corners.amax(2)
    first = low.ceil()
    a, b, c = corners.unbind(2)
    area = (b - a)[..., 0] * (c - a)[..., 1] - (b - a)[..., 1] * (c - a)[..., 0]
    drawable = (area < -1e-9) & ((high - first) < window).all(-1) & (high >= 0).all(-1) & (low < size).all(-1)
    rows, tri = drawable.nonzero(as_tuple=True)  # (N,) of the B * T
    steps = torch.arange(window, device=places.device, dtype=places.dtype)
    square = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(-1, 2)
    at = first[rows, tri][:, None] + square  # (N, K * K, 2)
    weights = barycentric(corners[rows, tri][:, None], at)
    inside = (weights >= -1e-5).all(-1) & (at >= 0).all(-1) & (at < size).all(-1)
    deep = (weights * depth[:, triangles][rows, tri][:, None]).sum(-1)
    steps_deep = ((deep - NEAREST) / (FARTHEST - NEAREST)).clamp(0, 1) * (DEPTHS - 1)
    key = (steps_deep.long() << 32) | tri[:, None]
    pixel = (rows[:, None] * size + at[..., 1].long()) * size + at[..., 0].long()
    nothing = torch.iinfo(torch.int64).max
    buffer = torch.full((batch * size * size,), nothing, dtype=torch.int64, device=places.device)
    buffer.scatter_reduce_(0, pixel[inside], key[inside], "amin")
    seen = buffer != nothing
    triangle = torch.where(seen, buffer & 0xFFFFFFFF, 0)
    return triangle.view(batch, size, size), seen.view(batch, size, size)


def rasterise(places: Tensor, depth: Tensor, triangles: Tensor, size: int, window: int = 6) -> Drawn:
    """Draw meshes (B, V) into (size, size) pictures; see `visible` for the arguments."""
    triangle, seen = visible(places, depth, triangles, size, window)
    steps = torch.arange(size, device=places.device, dtype=places.dtype)
    centres = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
    corners = gather(places, triangles[triangle])
    return Drawn(triangle, seen, barycentric(corners, centres.expand(len(places), -1, -1, -1)))


def gather(values: Tensor, index: Tensor) -> Tensor:
    """(B, V, C) picked by index (B, H, W, K) -> (B, H, W, K, C)."""
    batch, channels = len(values), values.shape[-1]
    flat = index.reshape(batch, -1, 1).expand(-1, -1, channels)
    return values.gather(1, flat).view(*index.shape, channels)


def interpolate(drawn: Drawn, triangles: Tensor, values: Tensor) -> Tensor:
    """Vertex values (B, V, C) at every pixel, (B, H, W, C); meaningless where nothing is seen."""
    return (gather(values, triangles[drawn.triangle]) * drawn.weights[..., None]).sum(-2)
