"""A target, prepared once: the picture at output size, its face, and the mesh that will be moved over it.

This is a still picture; `target.clip` makes a clip, `target.folder` several stills of these parts.
"""

import warnings
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from xpcam.errors import TargetError
from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import FACE_OVAL, FACE_POINTS, INNER_LIPS, LEFT_EYE, RIGHT_EYE, face_mesh
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.target.seam import sealed

MAX_PIXELS = 50_000_000
MAX_BYTES = 100_000_000
MIN_SIDE = 64
MIN_EYE_DISTANCE = 24.0
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")

# Rings around the face: how far out (share of the way to where motion ends) and how much they move.
RING_PLACES = (0.18, 0.45, 0.75, 1.0)
REACH = 1.1  # the last ring lies this many face radii outside the face, or at the picture's border
BORDER = 0.3  # within this of the picture's border, in outer-eye distances, motion is held back
OPENINGS = (*RIGHT_EYE, *LEFT_EYE, *INNER_LIPS)


@dataclass(frozen=True, slots=True)
class TargetMesh:
    """The mesh over a target: face, second copies of the openings' contours, rings.

    Attributes:
        triangles: (T, 3) int32 over V = 468 + 52 + rings vertices.
        ring: (R, 3) float32 ring vertices as points of the frontal face (see `face.landmarks.unpose`).
        ring_weight: (R,) how much of the head's motion each takes part in, 1 to 0.
        still: (V, 2) float32 where every vertex lies in the unmoved picture.
        free: (V,) how freely each may move, 1 to 0: none does at the picture's border.
    """

    triangles: NDArray[np.int32]
    ring: Floats
    ring_weight: Floats
    still: Floats
    free: Floats


@dataclass(frozen=True, slots=True)
class Target:
    """What the renderer moves.

    Attributes:
        picture: (height, width, 3) uint8 BGR at output size, filled where the shape differs.
        bounds: (left, top, right, bottom) of the target itself within `picture`, pixels.
        params: its face, in pixels of `picture`.
        mesh: its mesh.
    """

    picture: Pixels
    bounds: tuple[int, int, int, int]
    params: FaceParams
    mesh: TargetMesh


def load_picture(path: Path) -> Pixels:
    """Read a still picture, bounded before it is decoded, turned upright, as (H, W, 3) uint8 BGR.

    Raises:
        TargetError: missing, not a picture, damaged, animated, too small or too large.
    """
    if not path.is_file():
        raise TargetError(f"target {path}: no such file; give the path of a picture with one face")
    if path.stat().st_size > MAX_BYTES:
        raise TargetError(f"target {path}: the file has over {MAX_BYTES // 1_000_000} MB; save it smaller")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _check is stricter
            image = Image.open(path, formats=FORMATS)
        with image:
            _check(path, image)
            return _to_bgr(image)
    except Image.DecompressionBombError as error:
        raise TargetError(_too_large(path, "far too many")) from error
    except UnidentifiedImageError as error:
        raise TargetError(
            f"target {path}: not a picture that can be used; wanted PNG, JPEG or WebP"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise TargetError(f"target {path}: the picture is damaged ({error}); save it again") from error


def _check(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise TargetError(_too_large(path, f"{width}x{height}"))
    if min(width, height) < MIN_SIDE:
        raise TargetError(f"target {path}: {width}x{height} pixels; wanted at least {MIN_SIDE} on each side")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        raise TargetError(
            f"target {path}: an animation of {frames} frames; wanted a still, save one frame of it"
        )


def _too_large(path: Path, found: str) -> str:
    return f"target {path}: {found} pixels; at most {MAX_PIXELS // 1_000_000} million, save it smaller"


def _to_bgr(image: Image.Image) -> Pixels:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith(("I", "F")):  # 16-bit and float greys
        grey = np.asarray(upright, np.float32)
        peak = 65535.0 if grey.max() > 255 else 255.0
        eight_bit = (grey * (255.0 / peak)).clip(0, 255).astype(np.uint8)
        return np.repeat(eight_bit[..., None], 3, axis=2)
    if upright.has_transparency_data:
        backdrop = Image.new("RGBA", upright.size, (128, 128, 128, 255))
        upright = Image.alpha_composite(backdrop, upright.convert("RGBA"))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[:, :, ::-1])


def the_face(path: Path, faces: list[FaceParams]) -> FaceParams:
    """The one face of a target among those found, largest first.

    Raises:
        TargetError: none, several of similar size, or too small to animate.
    """
    if not faces:
        raise TargetError(f"target {path}: no face found; wanted one, facing the camera, well lit")
    sizes = [face_landmarks.outer_eye_distance(face.landmarks) for face in faces]
    rivals = sum(size > 0.5 * sizes[0] for size in sizes)
    if rivals > 1:
        raise TargetError(f"target {path}: {rivals} faces found; wanted one, crop the picture to it")
    if sizes[0] < MIN_EYE_DISTANCE:
        raise TargetError(
            f"target {path}: the face is too small (outer eye corners {sizes[0]:.0f} pixels apart, wanted at "
            f"least {MIN_EYE_DISTANCE:.0f}); use a closer portrait"
        )
    return faces[0]


def prepare(picture: Pixels, face: FaceParams, size: tuple[int, int]) -> Target:
    """Fit a picture and its face to (width, height) and lay the mesh over it."""
    canvas, bounds, scale = fit(picture, size)
    return laid_out(canvas, bounds, fitted(face, bounds, scale))


def laid_out(canvas: Pixels, bounds: tuple[int, int, int, int], face: FaceParams) -> Target:
    """Lay the mesh over a picture that has the output's size, whose face is in its own pixels."""
    face = sealed(canvas, face)
    return Target(canvas, bounds, face, build_mesh(face, bounds))


def fitted(face: FaceParams, bounds: tuple[int, int, int, int], scale: float) -> FaceParams:
    """A picture's face, moved and scaled as `fit` did with the picture."""
    offset = np.array([bounds[0], bounds[1], 0], np.float32)
    landmarks = face.landmarks * np.float32(scale) + offset
    pose = Pose(
        face.pose.rotation, face.pose.translation * np.float32(scale) + offset[:2], face.pose.scale * scale
    )
    return FaceParams(landmarks, pose, face.confidence)


def fit(picture: Pixels, size: tuple[int, int]) -> tuple[Pixels, tuple[int, int, int, int], float]:
    """Scale a picture into (width, height), filling the rest with a blurred copy of itself.

    Returns:
        The (height, width, 3) canvas, the picture's (left, top, right, bottom) in it, and its scale.
    """
    width, height = size
    scale = min(width / picture.shape[1], height / picture.shape[0])
    inner = (min(width, round(picture.shape[1] * scale)), min(height, round(picture.shape[0] * scale)))
    left, top = (width - inner[0]) // 2, (height - inner[1]) // 2
    bounds = (left, top, left + inner[0], top + inner[1])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    scaled = np.asarray(cv2.resize(picture, inner, interpolation=way), np.uint8)
    if inner == size:
        return scaled, bounds, scale
    small = cv2.resize(scaled, (max(8, width // 16), max(8, height // 16)), interpolation=cv2.INTER_AREA)
    blurred = cv2.GaussianBlur(small, (0, 0), 4) * np.float32(0.6)
    canvas = np.asarray(cv2.resize(blurred.astype(np.uint8), size, interpolation=cv2.INTER_CUBIC), np.uint8)
    canvas[top : bounds[3], left : bounds[2]] = scaled
    return canvas, bounds, scale


def build_mesh(params: FaceParams, bounds: tuple[int, int, int, int]) -> TargetMesh:
    """The face, second vertices for what lies behind eyes and lips, and rings that fade to stillness."""
    face = params.landmarks[:FACE_POINTS]
    oval = params.landmarks[list(FACE_OVAL)]
    ring, weight = _rings(oval, bounds)
    canonical = face_landmarks.unpose(np.concatenate([params.landmarks, ring]), params.pose)[
        len(params.landmarks) :
    ]
    still = np.concatenate([face[:, :2], face[list(OPENINGS), :2], ring[:, :2]])
    edges = np.minimum(still - bounds[:2], np.array(bounds[2:]) - 1 - still).min(axis=1)
    free = np.clip(edges / (BORDER * params.pose.scale), 0.0, 1.0)
    free[len(still) - len(ring) :] = np.tile(free[list(FACE_OVAL)], len(RING_PLACES))  # one that lags folds
    return TargetMesh(
        _triangles(),
        canonical,
        weight,
        still.astype(np.float32),
        (free * free * (3 - 2 * free)).astype(np.float32),
    )


def _rings(oval: Floats, bounds: tuple[int, int, int, int]) -> tuple[Floats, Floats]:
    """(R, 3) ring vertices in pixels and their (R,) weights, from the (36, 3) face oval outwards."""
    centre = oval[:, :2].mean(axis=0)
    out = oval[:, :2] - centre
    limits = np.where(out > 0, np.array(bounds[2:]) - 1, np.array(bounds[:2])) - centre
    away = np.abs(out) > 1e-3  # a point straight above or below the middle is nearer to neither side
    to_border = np.min(np.where(away, limits, np.inf) / np.where(away, out, 1.0), axis=1)
    reach = np.clip(to_border - 1.0, 0.02, REACH)
    rings, weights = [], []
    for place in RING_PLACES:
        ring = oval.copy()
        ring[:, :2] = centre + out * (1.0 + reach * place)[:, None]
        rings.append(ring)
        weights.append(np.full(len(oval), 1.0 - place * place * (3.0 - 2.0 * place), np.float32))
    return np.concatenate(rings).astype(np.float32), np.concatenate(weights)


def _triangles() -> NDArray[np.int32]:
    mesh = face_mesh()
    behind = np.arange(FACE_POINTS, dtype=np.int32)
    behind[list(OPENINGS)] = FACE_POINTS + np.arange(len(OPENINGS))
    triangles = mesh.triangles.copy()
    inside = mesh.triangle_part > 0
    triangles[inside] = behind[triangles[inside]]
    count, first = len(FACE_OVAL), FACE_POINTS + len(OPENINGS)
    loops = [np.array(FACE_OVAL)] + [first + count * k + np.arange(count) for k in range(len(RING_PLACES))]
    strips = []
    for inner, outer in pairwise(loops):
        after_inner, after_outer = np.roll(inner, -1), np.roll(outer, -1)
        strips += [np.stack([inner, after_inner, outer], 1), np.stack([after_inner, after_outer, outer], 1)]
    return np.concatenate([triangles, *strips]).astype(np.int32)
