"""Draws the head: three passes of `cv2.triangleRasterize` gather what is seen, then light is computed per pixel.

The light is one soft key, one fill and one rim lamp over a sky-and-floor ambient term. Skin scatters:
each colour wraps around the shadow's edge by its own amount (red farthest), after Green, "Real-time
approximations to subsurface scattering" (GPU Gems, 2004). Hollows darken by comparing depth with its
blurred neighbourhood (depth-buffer unsharp masking, Luft et al. 2006).
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.demo.head import EYE, LASHES, SKIN, TEETH, TONGUE, Head, smoothstep
from engines.demo.mesh import Array
from engines.demo.paint import ATLAS, EYE_SIDE, Image, cylinder, paint, room
from xpcam.warping.mesh_warp import MeshRasteriser

SUPERSAMPLE = 1.5
DISTANCE, FOCAL, CENTRE_Y = 0.85, 2.75, 0.50  # metres; focal length and height of the eyes in picture heights
EYE_LINE = 0.034  # metres: what of the head lies at CENTRE_Y, below the eyes
MATERIALS = 8


def _f(*values: float) -> Image:
    return np.array(values, np.float32)


def _unit(vector: Image) -> Image:
    return vector / np.float32(np.linalg.norm(vector))


TO_CAMERA = _f(0, 0, -1)
LAMPS = (  # towards the lamp, its colour
    (_unit(_f(-0.50, -0.48, -0.72)), _f(1.30, 1.38, 1.46)),
    (_unit(_f(0.75, -0.10, -0.65)), _f(0.34, 0.30, 0.28)),
    (_unit(_f(0.65, -0.35, 0.67)), _f(0.60, 0.56, 0.52)),
)
SKY, FLOOR = _f(0.36, 0.34, 0.33), _f(0.14, 0.155, 0.18)
WRAP = _f(0.12, 0.18, 0.38)
LIPS, SHIRT = _f(0.125, 0.125, 0.36), _f(0.13, 0.085, 0.055)
CAVITY, TONGUE_COLOUR = _f(0.05, 0.05, 0.20), _f(0.17, 0.17, 0.46)
TOOTH, GUM, LASH = _f(0.56, 0.66, 0.71), _f(0.16, 0.16, 0.42), _f(0.018, 0.02, 0.026)
SHINES = ((EYE, 0.9, 220), (TEETH, 0.25, 50), (TONGUE, 0.10, 20), (LASHES, 0.0, 10))  # gloss, its sharpness


class Renderer:
    """Draws one head in front of a room.

    Args:
        head: the head.
        size: (width, height) of the pictures.
    """

    def __init__(self, head: Head, size: tuple[int, int]) -> None:
        self.head = head
        self._size = size
        self.drawn = (int(size[0] * SUPERSAMPLE), int(size[1] * SUPERSAMPLE))
        self._raster = MeshRasteriser(head.triangles, self.drawn)
        self._paint = paint(head)
        self._room = room(self.drawn)
        self._where = np.concatenate([cylinder(head.rest), head.shirt[:, None]], axis=1).astype(np.float32)
        self._what = self._materials()
        self._lip_vertices = np.flatnonzero((head.lips > 0.5) & (head.material == SKIN))

    def draw(self, weights: dict[str, float], rotation: Array, shift: Array) -> NDArray[np.uint8]:
        """(height, width, 3) BGR of the head making the ARKit expression `weights`, turned."""
        points, normals = self.head.pose(weights, rotation, shift)
        pixels, depth = self.project(points)
        spread = (np.ptp(depth), depth.min())
        relative = (depth - spread[1]) / spread[0]
        facing = np.stack([normals[:, 0] / 2 + 0.5, normals[:, 1] / 2 + 0.5, relative], axis=1)
        drawn = [
            self._raster.draw(pixels, values.astype(np.float32), depth).copy()
            for values in (self._where, facing, self._what)
        ]
        rows, columns = _box(drawn[2][..., 0] > 0)
        where, facing, what = (np.ascontiguousarray(layer[rows, columns]) for layer in drawn)
        metres = facing[..., 2] * np.float32(spread[0]) + np.float32(spread[1])
        lips = float(points[self._lip_vertices, 2].mean()) + DISTANCE
        material = np.rint(what[..., 0] * MATERIALS).astype(np.uint8)
        light = self._light(where, facing, metres, what, material, lips)
        picture = self._room.copy()
        seen = (material > 0)[..., None]
        picture[rows, columns] = np.where(seen, light, picture[rows, columns])
        small = np.asarray(cv2.resize(picture, self._size, interpolation=cv2.INTER_AREA), np.float32)
        return np.rint(255 * _tone(small)).astype(np.uint8)

    def _materials(self) -> Image:
        """(V, 3) material, and two values that mean something else for each material."""
        head = self.head
        values = np.zeros((len(head.material), 3), np.float32)
        values[:, 0] = head.material / MATERIALS
        skin = head.material == SKIN
        values[skin, 1] = head.lips[skin]
        values[skin, 2] = (0.5 + 0.5 * head.cavity - 0.5 * head.ear * (head.cavity < 0.01))[skin]
        for centre, side in zip(head.eyes, (-1, 1), strict=True):
            ball = (head.material == EYE) & (np.sign(head.rest[:, 0]) == side)
            values[ball, 1:] = (head.rest[ball] - centre)[:, :2] / (2 * head.eye_radius) + 0.5
        teeth = head.material == TEETH
        upper = teeth & (head.rest[:, 1] < np.median(head.rest[teeth, 1]))
        for row, root in ((upper, -1), (teeth & ~upper, 1)):
            height = head.rest[row, 1]
            values[row, 2] = (height - height.min()) / np.ptp(height)
            if root > 0:
                values[row, 2] = 1 - values[row, 2]
            values[row, 1] = head.rest[row, 0] / 0.08 + 0.5
        return values.clip(0, 1)

    def project(self, points: Array) -> tuple[Image, Image]:
        height = self.drawn[1]
        depth = points[:, 2] + DISTANCE
        scale = FOCAL * height * DISTANCE / depth
        x = points[:, 0] * scale + self.drawn[0] / 2
        y = (points[:, 1] - EYE_LINE) * scale + CENTRE_Y * height
        return np.stack([x, y], axis=1).astype(np.float32), depth.astype(np.float32)

    def _light(
        self, where: Image, facing: Image, depth: Image, what: Image, material: NDArray[np.uint8], lips: float
    ) -> Image:
        """(H, W, 3) linear light of every pixel that shows the head."""
        normal = facing * 2 - 1
        normal[..., 2] = -np.sqrt(np.clip(1 - normal[..., 0] ** 2 - normal[..., 1] ** 2, 0.0025, 1))
        colour, wrap, gloss, power = self._surface(where, what, material)
        open_ = _openness(depth, material > 0)
        behind = np.clip(depth - np.float32(lips) - 0.002, 0, None)
        inside = (material == TEETH) | (material == TONGUE) | ((material == SKIN) & (what[..., 2] > 0.75))
        dim = np.where(inside, np.exp(-behind / 0.016), 1).astype(np.float32)
        ambient = normal[..., 1:2] * -0.5 + 0.5
        total = (SKY * ambient + FLOOR * (1 - ambient)) * (open_ * dim)[..., None]
        shine = np.zeros(depth.shape, np.float32)
        for towards, strength in LAMPS:
            cosine = normal @ towards
            lit = np.clip((cosine[..., None] + wrap) / (1 + wrap), 0, 1)
            total += lit * strength * (dim * (0.35 + 0.65 * open_))[..., None]
            half = _unit(towards + TO_CAMERA)
            shine += np.clip(normal @ half, 0, 1) ** power * (cosine > 0) * float(np.mean(strength))
        return np.asarray(colour * total + (gloss * shine * dim * open_)[..., None], np.float32)

    def _surface(
        self, where: Image, what: Image, material: NDArray[np.uint8]
    ) -> tuple[Image, Image, Image, Image]:
        """Colour, wrap (H, W, 3), gloss and the gloss's sharpness (H, W) of every pixel."""
        place = where[..., :2] * np.float32(ATLAS - 1)
        skin, hair, covered, fine = (
            sample(layer, place)
            for layer in (self._paint.albedo, self._paint.hair, self._paint.cover, self._paint.gloss)
        )
        first, second = what[..., 1], what[..., 2]
        cover = (covered * (1 - smoothstep(0.5 - second, 0.03, 0.2)))[..., None]
        lips = smoothstep(first, 0.25, 0.75)[..., None] * (1 - cover)
        cavity = smoothstep(second, 0.6, 0.9)[..., None]
        shirt = smoothstep(where[..., 2], 0.485, 0.515)[..., None]
        colour = _mix(skin, LIPS * (0.9 + 0.1 * fine[..., None]), 0.8 * lips)
        colour = _mix(_mix(_mix(colour, hair, cover), CAVITY, cavity), SHIRT, shirt)
        wrap = WRAP * (1 - np.maximum(cover, shirt)) + 0.05
        matt = 1 - shirt[..., 0]
        gloss = (0.055 + 0.06 * lips[..., 0] - 0.03 * cover[..., 0]) * fine * matt
        power = 14 + 26 * lips[..., 0]
        for kind, shine, sharpness in SHINES:
            here = material == kind
            gloss[here], power[here] = shine, sharpness
            colour[here] = self._detail(kind, first[here], second[here])
        return colour, wrap.astype(np.float32), gloss.astype(np.float32), power.astype(np.float32)

    def _detail(self, kind: int, first: Image, second: Image) -> Image:
        """(P, 3) colour of P pixels that are not skin."""
        if kind == TEETH:
            return _teeth(first, second)
        if kind == EYE and len(first):
            place = np.stack([first, second], axis=1)[:, None] * np.float32(EYE_SIDE - 1)
            eye = sample(self._paint.eye, place)[:, 0]
            return np.asarray(
                eye * (1 - 0.55 * smoothstep(0.5 - second, 0.05, 0.32))[:, None]
            )  # the lid's shadow
        return TONGUE_COLOUR if kind == TONGUE else LASH


def _teeth(across: Image, down: Image) -> Image:
    """Teeth with gaps and gum, from the place across the jaw and from root (0) to tip (1)."""
    number = np.abs(across - 0.5) * 0.08 / 0.0078
    gap = np.exp(-((((number + 0.5) % 1 - 0.5) / 0.055) ** 2))
    gum = 1 - smoothstep(down - 0.10 * np.abs(np.cos(number * np.pi)), 0.28, 0.40)
    tooth = TOOTH * (1 - 0.5 * gap - 0.12 * (1 - down))[..., None]
    return np.asarray(_mix(tooth, GUM, gum[..., None]), np.float32)


def _openness(depth: Image, seen: NDArray[np.bool_]) -> Image:
    """(H, W) 1 where nothing near lies in front, down to about 0.3 in hollows."""
    weight = seen.astype(np.float32)
    result = np.ones(depth.shape, np.float32)
    flat = np.where(seen, depth, 0).astype(np.float32)
    for sigma, reach, strength in ((5, 0.004, 0.35), (16, 0.012, 0.4), (56, 0.03, 0.45)):
        scale = max(1, sigma // 5)
        size = (depth.shape[1] // scale, depth.shape[0] // scale)
        parts = [cv2.resize(layer, size, interpolation=cv2.INTER_AREA) for layer in (flat, weight)]
        near, count = (cv2.GaussianBlur(part, (0, 0), sigma / scale) for part in parts)
        mean = cv2.resize(near / np.maximum(count, 1e-3), depth.shape[::-1])
        result *= 1 - strength * np.clip((depth - mean) / reach, 0, 1)
    return result


def sample(picture: Image, place: Image) -> Image:
    """`picture` at `place` (H, W, 2) in its pixels, bilinear."""
    columns, rows = np.ascontiguousarray(place[..., 0]), np.ascontiguousarray(place[..., 1])
    return np.asarray(cv2.remap(picture, columns, rows, cv2.INTER_LINEAR), np.float32)


def _mix(one: NDArray[Any], other: NDArray[Any], share: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(one + (other - one) * share)


def _box(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)


def _tone(light: Image) -> Image:
    """Linear light to display values, highlights rolled off."""
    rolled = np.where(light < 0.6, light, 0.6 + 0.4 * (1 - np.exp(-(light - 0.6) / 0.4)))
    return np.asarray(np.clip(rolled, 0, 1) ** (1 / 2.2), np.float32)
