"""Albedo and light of a face in a picture, from the colours at the vertices of the face fitted to it."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.face.fit import FaceFit
from xpcam.face.model import SKIN, FaceModel, face_model, harmonics, normals
from xpcam.frame import Appearance, Floats, Pixels
from xpcam.warping.mesh_warp import MeshRasteriser

KEPT_BRIGHTNESS: Final = 0.4
KEPT_TINT: Final = 0.2
"""Shares of the light's overall logarithmic brightness and tint that stay light; the rest is the skin's. One
picture cannot tell dark skin from dim light."""
FACING: Final = 0.25  # cosine towards the camera from which on a vertex counts as seen
HIDDEN: Final = 0.06  # outer-eye distances behind what is drawn in front of it
MIXED: Final = 0.002  # ridge of the light's fit, towards light from everywhere
DARKEST: Final = 0.25  # least light that colours are divided by
NOISE: Final = (
    0.6  # standard deviation of a colour beside the texture model's own deviation of 1, in its unit
)
THINNED: Final = 3  # every third vertex is plenty for nine coefficients
REWEIGHTED: Final = 4
FEWEST: Final = 200  # vertices of skin that must be seen for colours to be told from light


@dataclass(frozen=True, slots=True)
class Seen:
    """A picture at the V vertices: colours (V, 3) BGR 0 to 1, seen (V,), normals (V, 3) of the posed face."""

    colours: Floats
    seen: NDArray[np.bool_]
    normals: Floats


def look(picture: Pixels, places: Floats, scale: float, model: FaceModel) -> Seen:
    """Read the (H, W, 3) picture at (V, 3) places in its pixels; `scale` is pixels a unit of the model."""
    height, width = picture.shape[:2]
    facing = normals(places, model.triangles)
    low, span = float(places[:, 2].min()), float(np.ptp(places[:, 2])) or 1.0
    depth = np.repeat((places[:, 2:] - low) / span, 3, axis=1)
    drawn = MeshRasteriser(model.triangles, (width, height)).draw(places[:, :2], depth, places[:, 2])
    at = np.ascontiguousarray(places[:, None, :2])
    front = _at(drawn, at, cv2.INTER_NEAREST)[:, 0] * span + low
    inside = ((at[:, 0] > 1) & (at[:, 0] < (width - 2, height - 2))).all(axis=1)
    seen = inside & (-facing[:, 2] > FACING) & (places[:, 2] < front + HIDDEN * scale)
    return Seen(_at(picture, at, cv2.INTER_LINEAR) / np.float32(255), seen, facing)


def _at(picture: NDArray[np.uint8] | Floats, at: Floats, way: int) -> Floats:
    return np.asarray(cv2.remap(picture, at, None, way)[:, 0], np.float32)  # type: ignore[call-overload]


@cache
def skin_vertices() -> NDArray[np.bool_]:
    """(V,) whether a vertex belongs to the face's skin."""
    model = face_model()
    mask = np.zeros(len(model.mean), bool)
    mask[model.triangles[model.part == SKIN]] = True
    return mask


def light_of(colours: Floats, facing: Floats, albedo: Floats) -> Floats:
    """(9, 3) light under which albedo (P, 3) facing so (P, 3) looks like the colours (P, 3).

    Least squares reweighted by the residuals' size, with a ridge towards light that comes from everywhere.
    """
    terms = harmonics(facing).astype(np.float64)
    light = np.zeros((9, 3))
    ambient = np.eye(9)[0]
    for channel in range(3):
        design = terms * albedo[:, channel, None]
        goal, weight = colours[:, channel].astype(np.float64), np.ones(len(terms))
        for _ in range(REWEIGHTED):
            ridge = MIXED * weight.sum()
            level = (weight * goal).sum() / (weight * design[:, 0]).sum()
            inner = (design * weight[:, None]).T @ design + ridge * np.eye(9)
            light[:, channel] = np.linalg.solve(inner, design.T @ (weight * goal) + ridge * level * ambient)
            rest = np.abs(design @ light[:, channel] - goal)
            weight = 1 / np.maximum(rest / (np.median(rest) + 1e-6), 1.0)
    return light.astype(np.float32)


def shared_out(light: Floats) -> Floats:
    """The light without the part of its brightness and tint that is the skin's."""
    level = np.log(np.maximum(light[0], 1e-3))
    brightness = level.mean()
    kept = KEPT_BRIGHTNESS * brightness + KEPT_TINT * (level - brightness)
    return np.asarray(light * np.exp(kept - level), np.float32)


def unlit(picture: Seen, albedo: Floats) -> tuple[Floats, Floats]:
    """Light (9, 3), and the colours (V, 3) without it, for a face whose albedo is about (V, 3)."""
    some = np.flatnonzero(picture.seen & skin_vertices())[::THINNED]
    light = shared_out(light_of(picture.colours[some], picture.normals[some], albedo[some]))
    lit = np.maximum(harmonics(picture.normals) @ light, DARKEST)
    return light, np.asarray(np.clip(picture.colours / lit, 0, 1), np.float32)


def _everywhere() -> Floats:
    """(9, 3) white light of strength 1 from all around."""
    light = np.zeros((9, 3), np.float32)
    light[0] = 1.0
    return light


def appearance_of(picture: Pixels, found: FaceFit) -> Appearance:
    """Texture and light of a fitted face: light by the mean albedo, texture by ridge, light once more.

    A face of which hardly anything is seen gets the mean albedo under white light.
    """
    model = face_model()
    seen = look(picture, found.vertices(model), found.pose.scale, model)
    rows = np.flatnonzero(seen.seen & skin_vertices())
    if len(rows) < FEWEST:
        return Appearance(found.identity, np.zeros(len(model.albedo), np.float32), _everywhere())
    _, bare = unlit(seen, model.albedo_mean)
    basis = model.albedo[:, rows].reshape(len(model.albedo), -1).astype(np.float64)
    wanted = (bare - model.albedo_mean)[rows].ravel()
    unit = float(basis.std())
    weight = np.ones(len(wanted))
    for _ in range(REWEIGHTED):
        inner = (basis * weight) @ basis.T + (NOISE * unit) ** 2 * len(model.albedo) * np.eye(len(basis))
        texture = np.linalg.solve(inner, (basis * weight) @ wanted)
        rest = np.abs(texture @ basis - wanted)
        weight = 1 / np.maximum(rest / (2 * np.median(rest) + 1e-6), 1.0)
    own = texture.astype(np.float32)
    some = rows[::THINNED]
    light = light_of(seen.colours[some], seen.normals[some], model.colours(own)[some])
    return Appearance(found.identity, own, light)
