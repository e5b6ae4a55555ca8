"""What the head is painted with: an atlas of the head's cylinder, an eye, and the room behind.

Colours are linear light, blue-green-red, 0 to 1. Everything is drawn from a fixed seed.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engines.demo.head import AXIS_Z, SKIN, Head, hairline, smoothstep
from engines.demo.mesh import Array

Image = NDArray[np.float32]

ATLAS = 2048  # pixels of the cylinder's side: 2 pi around, TOP to BOTTOM metres from eye level down
TOP, BOTTOM = -0.16, 0.44
SKIN_COLOUR = (0.25, 0.345, 0.57)
HAIR_COLOUR = (0.016, 0.025, 0.045)
BROW_COLOUR = (0.02, 0.034, 0.065)
BROW = ((9, -13), (17, -16.5), (29, -19.5), (40, -20), (49, -16), (54, -12))  # millimetres from the eye line
EYE_SIDE, IRIS, PUPIL = 512, 0.385, 0.155  # radii as shares of the eyeball's


@dataclass(frozen=True)
class Paint:
    """albedo: (ATLAS, ATLAS, 3) of the skin with brows; hair: (ATLAS, ATLAS, 3); cover: (ATLAS, ATLAS)
    where hair covers the skin; gloss: (ATLAS, ATLAS) fine structure; eye: (EYE_SIDE, EYE_SIDE, 3)."""

    albedo: Image
    hair: Image
    cover: Image
    gloss: Image
    eye: Image


def cylinder(points: Array) -> Array:
    """(V, 2) place in the atlas, 0 to 1 each, of points at rest."""
    angle = np.arctan2(points[:, 0], AXIS_Z - points[:, 2])
    return np.stack([angle / (2 * np.pi) + 0.5, (points[:, 1] - TOP) / (BOTTOM - TOP)], axis=1).clip(0, 1)


def noise(generator: np.random.Generator, shape: tuple[int, int], across: float, down: float) -> Image:
    """Smooth noise of mean 0 and deviation 1, with grains of about so many pixels."""
    scale = max(1, int(min(across, down) / 2))
    small = generator.standard_normal((shape[0] // scale, shape[1] // scale)).astype(np.float32)
    blurred = cv2.GaussianBlur(small, (0, 0), sigmaX=across / scale, sigmaY=down / scale)
    full = cv2.resize(blurred, shape[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray((full - full.mean()) / full.std(), np.float32)


def spot(grid: Array, place: tuple[float, float], radius: tuple[float, float]) -> Array:
    """A soft blob at `place` (x, y in metres, on both sides) over the (H, W, 2) grid of x and y."""
    x, y = np.abs(grid[..., 0]) - abs(place[0]), grid[..., 1] - place[1]
    return np.asarray(np.exp(-((x / radius[0]) ** 2) - (y / radius[1]) ** 2))


def _grid() -> tuple[Array, Array]:
    """(ATLAS, ATLAS) angle, and (ATLAS, ATLAS, 2) approximate x and y in metres seen from the front."""
    angle = (np.arange(ATLAS) / (ATLAS - 1) - 0.5) * 2 * np.pi
    y = TOP + np.arange(ATLAS) / (ATLAS - 1) * (BOTTOM - TOP)
    angles, ys = np.meshgrid(angle, y)
    xs = np.where(np.abs(angles) < np.pi / 2, np.sin(angles), np.sign(angles)) * 0.082
    return angles, np.stack([xs, ys], axis=-1)


def _skin(generator: np.random.Generator, grid: Array) -> Array:
    shape = (ATLAS, ATLAS)
    tone = 1 + 0.025 * noise(generator, shape, 40, 40) + 0.022 * noise(generator, shape, 2, 2)
    red = (
        0.55 * spot(grid, (0.0, 0.036), (0.016, 0.014))  # nose
        + 0.40 * spot(grid, (0.042, 0.038), (0.022, 0.018))  # cheeks
        + 0.25 * spot(grid, (0.0, 0.095), (0.016, 0.012))  # chin
        + 0.12 * noise(generator, shape, 14, 14) * 0.5
    )
    shade = 0.30 * spot(grid, (0.03, 0.013), (0.017, 0.006))  # under the eyes
    beard = spot(grid, (0.0, 0.095), (0.055, 0.035)) * (1 - 0.6 * spot(grid, (0.0, 0.068), (0.024, 0.010)))
    skin = np.array(SKIN_COLOUR) * tone[..., None]
    skin *= 1 - np.clip(red, 0, 1)[..., None] * (0.30, 0.26, 0.03)
    skin *= 1 - shade[..., None] * (0.25, 0.42, 0.32)
    skin *= 1 - beard[..., None] * (0.06, 0.13, 0.17)
    return skin


def _strokes(
    generator: np.random.Generator, canvas: Image, starts: Array, steps: Array, thickness: int = 1
) -> None:
    """Draw hairs into canvas (0 to 1), each from start to start + step, pixels."""
    layer = np.zeros(canvas.shape, np.uint8)
    fine = 3  # bits below the pixel
    for (x, y), (dx, dy) in zip(starts, steps, strict=True):
        bend = generator.normal(0, 0.12, 2) * np.hypot(dx, dy)
        line = np.array([(x, y), (x + dx / 2 + bend[0], y + dy / 2 + bend[1]), (x + dx, y + dy)])
        points = np.rint(line * 2**fine).astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(layer, [points], False, int(generator.uniform(110, 235)), thickness, cv2.LINE_AA, fine)
    np.maximum(canvas, layer.astype(np.float32) / 255, out=canvas)


def _brows(generator: np.random.Generator, head: Head) -> Image:
    """(ATLAS, ATLAS) how much brow hair covers the skin."""
    front = np.flatnonzero((head.material == SKIN) & (head.rest[:, 2] < 0.06) & (head.cavity < 0.2))
    tree = cKDTree(head.rest[front, :2])
    canvas = np.zeros((ATLAS, ATLAS), np.float32)
    curve = np.array(BROW) / 1000
    knots = np.linspace(0, 1, len(curve))
    for side in (-1, 1):
        t = generator.uniform(0, 1, 420)
        x, y = (np.interp(t, knots, curve[:, axis]) for axis in (0, 1))
        half = 0.0034 * np.interp(t, [0, 0.15, 0.5, 1], [0.7, 1, 0.8, 0.1])
        y = y + generator.uniform(-1, 1, len(t)) * half
        distance, near = tree.query(np.stack([side * x, y], axis=1), k=4)
        weight = 1 / (distance + 1e-4)
        atlas = (cylinder(head.rest[front])[near] * (weight / weight.sum(1, keepdims=True))[..., None]).sum(1)
        slope = np.interp(t, [0, 0.25, 1], [-1.25, -0.45, 0.28]) + generator.normal(0, 0.12, len(t))
        length = generator.uniform(14, 24, len(t)) * np.interp(t, [0, 0.8, 1], [0.8, 1, 0.7])
        steps = np.stack([side * np.cos(slope) * length, np.sin(slope) * length], axis=1)
        _strokes(generator, canvas, atlas * (ATLAS - 1), steps, 2)
    soft = cv2.GaussianBlur(canvas, (0, 0), 5)
    return np.clip(0.85 * cv2.GaussianBlur(canvas, (0, 0), 0.7) + 0.35 * soft, 0, 0.92).astype(np.float32)


def _eye(generator: np.random.Generator) -> Image:
    """The eyeball seen from the front, its rim at the picture's edge."""
    side = (np.arange(EYE_SIDE) + 0.5) / EYE_SIDE * 2 - 1
    x, y = np.meshgrid(side, side)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    fibres = np.interp(angle, np.linspace(-np.pi, np.pi, 181), generator.normal(0, 1, 181), period=2 * np.pi)
    inner = np.clip((radius - PUPIL) / (IRIS - PUPIL), 0, 1)
    iris = np.array((0.115, 0.13, 0.105)) * (1 + 0.22 * fibres[..., None]) * (0.75 + 0.7 * inner[..., None])
    amber = np.exp(-(((inner - 0.15) / 0.25) ** 2))[..., None]
    iris = iris * (1 - 0.65 * amber) + np.array((0.02, 0.065, 0.13)) * 0.65 * amber
    iris *= 1 - 0.8 * smoothstep(inner, 0.75, 1.0)[..., None]  # limbal ring
    iris *= smoothstep(radius, PUPIL - 0.02, PUPIL + 0.025)[..., None]
    veins = 0.25 * smoothstep(radius, 0.55, 1.0)[..., None] * (1.1, 1.0, 0.5)
    white = np.array((0.60, 0.60, 0.66)) * (1 - veins)
    edge = smoothstep(radius, IRIS - 0.02, IRIS + 0.03)[..., None]
    return (iris * (1 - edge) + white * edge).astype(np.float32)


def paint(head: Head) -> Paint:
    """Paint everything; a few seconds."""
    generator = np.random.default_rng(7)
    angles, grid = _grid()
    skin = _skin(generator, grid)
    brows = _brows(generator, head)[..., None]
    albedo = skin * (1 - brows) + np.array(BROW_COLOUR) * brows
    streaks = 0.7 * noise(generator, (ATLAS, ATLAS), 1.6, 40) + 0.5 * noise(generator, (ATLAS, ATLAS), 9, 90)
    hair = np.array(HAIR_COLOUR) * np.clip(1 + 0.45 * streaks, 0.25, 3)[..., None]
    fine = noise(generator, (ATLAS, ATLAS), 1.2, 14)
    ragged = hairline(angles) + 0.0012 * streaks + 0.0012 * fine - grid[..., 1]
    cover = smoothstep(ragged, -0.003, 0.008)
    gloss = np.clip(1 + 0.3 * noise(generator, (ATLAS, ATLAS), 2, 2), 0, 2) * (1 - 0.8 * brows[..., 0])
    return Paint(
        albedo.astype(np.float32), hair.astype(np.float32), cover.astype(np.float32),
        gloss.astype(np.float32), _eye(generator),
    )  # fmt: skip


def room(size: tuple[int, int]) -> Image:
    """(height, width, 3) a wall with a window's light and a shelf, out of focus."""
    width, height = size
    x, y = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    wall = np.array((0.20, 0.235, 0.26)) * (1.15 - 0.45 * x - 0.25 * y)[..., None]
    glow = np.exp(-(((x - 0.05) / 0.28) ** 2) - ((y - 0.28) / 0.45) ** 2)[..., None]
    picture = (wall + glow * (0.30, 0.30, 0.27)).astype(np.float32)
    for left, top, right, bottom, colour in (
        (0.74, 0.12, 0.97, 0.50, (0.10, 0.11, 0.14)),
        (0.76, 0.30, 0.81, 0.49, (0.20, 0.10, 0.05)),
        (0.82, 0.26, 0.86, 0.49, (0.06, 0.12, 0.30)),
        (0.88, 0.32, 0.93, 0.49, (0.10, 0.22, 0.16)),
        (0.00, 0.83, 1.00, 1.00, (0.09, 0.10, 0.12)),
    ):
        corner, opposite = (int(left * width), int(top * height)), (int(right * width), int(bottom * height))
        cv2.rectangle(picture, corner, opposite, colour, -1)
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), width / 45), np.float32)
