"""Teeth, gums and tongue: one mean mouth, shared by all targets.

Sizes are the mean crowns of dental anatomy (Wheeler's tables: width and height of each tooth in millimetres),
set along two arches. Frame: the middle of the upper incisors' edge is the origin; x right in an unmirrored
picture, y down, z away from the camera, in outer-eye distances, as in `face.landmarks`.
"""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats

MILLIMETRE: Final = 1 / 80.0  # outer eye corners, as landmarks have them, are about 80 mm apart
TOOTH, GUM, TONGUE = range(3)
"""What a vertex belongs to."""

# Width, height (mm) of each crown from the midline backwards, and how far its edge stays short of the bite.
UPPER: Final = (
    (8.5, 10.5, 0.0), (6.5, 9.0, 0.8), (7.6, 10.0, -0.1), (7.1, 8.5, 0.7), (6.6, 7.8, 0.9), (10.0, 7.2, 0.8),
)  # fmt: skip
LOWER: Final = (
    (5.3, 8.8, 0.0), (5.9, 9.2, 0.2), (6.9, 10.4, -0.3), (7.0, 8.6, 0.6), (7.1, 8.0, 0.9), (11.0, 7.4, 1.0),
)  # fmt: skip
UPPER_ARCH: Final = (29.0, 46.0)  # half the width at its end, and its depth, mm
LOWER_ARCH: Final = (27.0, 43.0)
OVERBITE: Final = 2.0  # the upper incisors' edges lie so far below the lower ones' when the jaw is shut, mm
OVERJET: Final = 2.6  # and so far before them
COLUMNS: Final = 5  # vertices across a tooth
FACE_ROWS: Final = 5  # and down its face; two more rows make its edge and its back
GUM_DEPTH: Final = 9.0  # gums beyond the crowns, mm


@dataclass(frozen=True, slots=True)
class MouthModel:
    """V vertices, T triangles. The jaw is shut.

    Attributes:
        vertices: (V, 3) float32.
        normals: (V, 3) float32, unit, out of the surface.
        kind: (V,) uint8, TOOTH, GUM or TONGUE.
        jaw: (V,) bool, moves with the lower jaw.
        shade: (V,) float32, what its own shape leaves of the light: less between the teeth, at their roots.
        tip: (V,) float32, 1 at the tongue's tip, fading to 0 at its root.
        out: (V, 3) float32, how far a tongue that is out lies from its rest, its tip over the lower lip.
        out_normals: (V, 3) float32, `normals` then.
        triangles: (T, 3) int32.
    """

    vertices: Floats
    normals: Floats
    kind: NDArray[np.uint8]
    jaw: NDArray[np.bool_]
    shade: Floats
    tip: Floats
    out: Floats
    out_normals: Floats
    triangles: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Patch:
    """A grid of vertices, (rows, columns, 3), millimetres."""

    at: Floats
    shade: Floats
    kind: int
    jaw: bool
    tip: Floats | None = None
    out: Floats | None = None


@cache
def mouth_model() -> MouthModel:
    """The mean mouth."""
    patches = [*_row(UPPER, UPPER_ARCH, False), *_row(LOWER, LOWER_ARCH, True), _tongue()]
    patches += [_gum(UPPER, UPPER_ARCH, False), _gum(LOWER, LOWER_ARCH, True)]
    first, triangles = 0, []
    for patch in patches:
        rows, columns = patch.at.shape[:2]
        corner = (first + np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).ravel()
        triangles += [
            np.stack([corner, corner + 1, corner + columns], 1),
            np.stack([corner + 1, corner + columns + 1, corner + columns], 1),
        ]
        first += rows * columns
    counts = [patch.shade.size for patch in patches]
    tips = [np.zeros(patch.shade.size) if patch.tip is None else patch.tip.ravel() for patch in patches]
    rest = np.concatenate([patch.at.reshape(-1, 3) for patch in patches])
    outs = [patch.at if patch.out is None else patch.out for patch in patches]
    return MouthModel(
        vertices=_scaled(rest * MILLIMETRE),
        normals=_scaled(np.concatenate([_normals(patch.at).reshape(-1, 3) for patch in patches])),
        kind=np.repeat([patch.kind for patch in patches], counts).astype(np.uint8),
        jaw=np.repeat([patch.jaw for patch in patches], counts),
        shade=_scaled(np.concatenate([patch.shade.ravel() for patch in patches])),
        tip=_scaled(np.concatenate(tips)),
        out=_scaled((np.concatenate([out.reshape(-1, 3) for out in outs]) - rest) * MILLIMETRE),
        out_normals=_scaled(np.concatenate([_normals(out).reshape(-1, 3) for out in outs])),
        triangles=np.concatenate(triangles).astype(np.int32),
    )


def _scaled(values: NDArray[np.floating]) -> Floats:
    return np.ascontiguousarray(values, np.float32)


def _along(arch: tuple[float, float], lengths: NDArray[np.floating]) -> tuple[Floats, Floats]:
    """(..., 2) x and z, and the (..., 2) outward normals, at signed arc lengths from its middle, mm."""
    half, depth = arch
    x = np.linspace(0.0, half * 1.05, 400)
    z = depth * (x / half) ** 2.8
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(np.diff(x), np.diff(z)))])
    away = np.abs(lengths)
    at = np.stack([np.sign(lengths) * np.interp(away, arc, x), np.interp(away, arc, z)], axis=-1)
    slope = np.interp(away, arc, np.gradient(z, x))
    out = np.stack([np.sign(lengths) * slope, -np.ones_like(slope)], axis=-1)
    return _scaled(at), _scaled(out / np.linalg.norm(out, axis=-1, keepdims=True))


def _row(teeth: tuple[tuple[float, float, float], ...], arch: tuple[float, float], jaw: bool) -> list[_Patch]:
    patches, begin = [], 0.0
    for place, (width, height, short) in enumerate(teeth):
        patches += [
            _tooth(side * (begin + width / 2), width, height, short, place, arch, jaw) for side in (-1.0, 1.0)
        ]
        begin += width
    return patches


def _tooth(
    middle: float, width: float, height: float, short: float, place: int, arch: tuple[float, float], jaw: bool
) -> _Patch:
    """One crown: its face from the root to the edge, the edge, the back."""
    across = np.linspace(-1.0, 1.0, COLUMNS)[None]
    down = np.concatenate([np.linspace(0.0, 1.0, FACE_ROWS), [1.0, 0.5]])[:, None]
    thick = np.concatenate([np.zeros(FACE_ROWS), [1.0, 1.15]])[:, None] * (1.8 if place < 3 else 7.5)
    taper = 0.86 + 0.16 * np.sqrt(down)
    rounded = np.abs(across) ** 5 * (1.1 if place < 2 else 1.8)  # the corners of its edge
    pointed = np.abs(across) * (1.6 if place == 2 else 0.0)
    root = (1.0 - down) * across**2 * 1.6  # the gum's scallop
    level = height * (1.0 - down) + short + (rounded + pointed) * down**3 - root
    at, out = _along(arch, middle + across * width / 2 * taper)
    bulge = 1.0 - 1.5 * across**4 - 0.8 * (2 * down - 1.1) ** 2 - thick
    plane = at + out * bulge[..., None]
    y = level if jaw else -level
    shade = (
        (1.0 - 0.30 * across**8) * (0.86 + 0.14 * np.minimum(down * 2.5, 1.0)) * (1.0 - 0.06 * (thick > 0))
    )
    return _Patch(_placed(plane, y, jaw), np.broadcast_to(shade, y.shape), TOOTH, jaw)


def _gum(teeth: tuple[tuple[float, float, float], ...], arch: tuple[float, float], jaw: bool) -> _Patch:
    """The gums: a band behind the crowns' upper halves and beyond them."""
    length = sum(width for width, _, _ in teeth)
    along = np.linspace(-length, length, 41)[None]
    edges = np.cumsum([0.0] + [width for width, _, _ in teeth])
    height = np.interp(np.abs(along), (edges[:-1] + edges[1:]) / 2, [tooth[1] for tooth in teeth])
    phase = (np.abs(along) - edges[np.clip(np.searchsorted(edges, np.abs(along)) - 1, 0, 5)]) / 8.0
    rows = np.array([0.45, 0.85, 1.05, 1.5, 2.0])[:, None]
    level = height * np.minimum(rows, 1.0) + GUM_DEPTH * np.maximum(rows - 1.0, 0.0)
    out_by = np.array([-1.8, -0.9, 0.2, 0.9, -1.0])[:, None] + 0.15 * np.cos(2 * np.pi * phase)
    at, out = _along(arch, np.broadcast_to(along, level.shape))
    shade = np.broadcast_to(np.array([0.72, 0.9, 1.0, 0.95, 0.7])[:, None], level.shape)
    plane = at + out * out_by[..., None]
    return _Patch(_placed(plane, level if jaw else -level, jaw), shade, GUM, jaw)


def _placed(plane: NDArray[np.floating], y: NDArray[np.floating], jaw: bool) -> Floats:
    shift = (-OVERBITE, OVERJET) if jaw else (0.0, 0.0)
    return _scaled(np.stack([plane[..., 0], y + shift[0], plane[..., 1] + shift[1]], axis=-1))


def _tongue() -> _Patch:
    """The tongue at rest, its tip behind the lower incisors."""
    across = np.linspace(-1.0, 1.0, 11)[None]
    back = np.linspace(0.0, 1.0, 13)[:, None] ** 1.4  # the tip is round: closer together there
    half = 19.0 * (1.0 - (1.0 - back) ** 2.6) ** 0.5 + 3.0
    arched = 5.0 * np.sin(np.minimum(back * 1.25, 1.0) * np.pi / 2) - 1.0 * back
    y = 1.6 - arched + 7.0 * np.abs(across) ** 2.6 + 5.0 * (1.0 - np.minimum(back / 0.12, 1.0)) ** 1.5
    y += 1.0 * np.exp(-((across / 0.16) ** 2)) * np.minimum(back * 4, 1.0)  # the furrow in its middle
    z = 7.0 + 48.0 * back + 3.0 * across**2 * (1.0 - back)
    at = np.stack(np.broadcast_arrays(across * half, y - OVERBITE, z + OVERJET), axis=-1)
    shade = (1.0 - 0.18 * np.exp(-((across / 0.14) ** 2)) * np.minimum(back * 4, 1)) * (
        1.0 - 0.25 * across**4
    )
    tip = _scaled(np.broadcast_to(1.0 - back, y.shape))
    return _Patch(_scaled(at), np.broadcast_to(shade, y.shape), TONGUE, True, tip, _tongue_out(across, back))


def _tongue_out(across: NDArray[np.floating], back: NDArray[np.floating]) -> Floats:
    """The same tongue over the lower teeth and the lower lip, its round tip at that lip's lower border."""
    ahead = 1.0 - np.minimum(back / 0.45, 1.0)
    half = 13.0 * np.sqrt(1.0 - (1.0 - np.minimum((back + 0.02) / 0.32, 1.0)) ** 2) + 4.0 * back
    over = np.minimum(back / 0.30, 1.0)  # its edges lie on the lip, those of the round tip hardly lower
    y = -5.5 + 17.5 * ahead**2 + 3.0 * np.abs(across) ** 2.6 * over
    y += 1.0 * np.exp(-((across / 0.16) ** 2)) * over
    z = -20.0 + 75.0 * back**1.3 + 3.0 * across**2
    return _scaled(np.stack(np.broadcast_arrays(across * half, y, z), axis=-1))


def _normals(at: Floats) -> Floats:
    """(rows, columns, 3) unit normals of a grid, towards the camera or, where seen edge-on, upwards."""
    normal = np.cross(np.gradient(at, axis=1), np.gradient(at, axis=0))
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True) + 1e-9
    return _scaled(normal * np.where(normal[..., 2:] > 0, -1.0, 1.0))
