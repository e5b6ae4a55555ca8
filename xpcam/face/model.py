"""The 3D morphable face: identity, ARKit expression, albedo and light, at the resolution of a head mesh.

    vertices = mean + identity coefficients @ identity + expression weights @ expression

Frame, as in `face.landmarks`: the mean's outer eye corners 1 unit apart, their midpoint the origin, x to the
right of an unmirrored picture, y down, z away from the camera. "Left" is the person's own left: x > 0.
Colours are blue, green, red, 0 to 1, as pixels hold them (not linear light).
"""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpcam.frame import Floats
from xpcam.resources import shipped

SKIN, EYE, MOUTH, TEETH, TONGUE, HEAD = range(6)
"""What a triangle shows: the face's skin; eyeball; mouth cavity; teeth, gums; tongue; ears, scalp, neck."""

IDENTITIES = TEXTURES = 80
# fmt: off
ARKIT = (
    "eyeBlinkLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft", "eyeLookUpLeft", "eyeSquintLeft",
    "eyeWideLeft", "eyeBlinkRight", "eyeLookDownRight", "eyeLookInRight", "eyeLookOutRight", "eyeLookUpRight",
    "eyeSquintRight", "eyeWideRight", "jawForward", "jawLeft", "jawRight", "jawOpen", "mouthClose",
    "mouthFunnel", "mouthPucker", "mouthLeft", "mouthRight", "mouthSmileLeft", "mouthSmileRight",
    "mouthFrownLeft", "mouthFrownRight", "mouthDimpleLeft", "mouthDimpleRight", "mouthStretchLeft",
    "mouthStretchRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper",
    "mouthPressLeft", "mouthPressRight", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthUpperUpLeft",
    "mouthUpperUpRight", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft",
    "browOuterUpRight", "cheekPuff", "cheekSquintLeft", "cheekSquintRight", "noseSneerLeft",
    "noseSneerRight", "tongueOut",
)
TONGUE_OUT = ARKIT.index("tongueOut")
# The 68 points of the iBUG 300-W annotation (Sagonas et al. 2013), each the landmark nearest to it.
IBUG = (
    127, 234, 93, 132, 58, 172, 150, 176, 152, 400, 379, 397, 288, 361, 323, 454, 356,  # jaw, right to left
    70, 63, 105, 66, 107, 336, 296, 334, 293, 300,  # brows
    168, 197, 5, 4, 98, 97, 2, 326, 327,  # nose
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,  # eyes
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,  # outer lips
    78, 82, 13, 312, 308, 317, 14, 87,  # inner lips
)
# fmt: on


@dataclass(frozen=True)
class FaceModel:
    """Everything that is known of all faces. V vertices, T triangles.

    Attributes:
        mean: (V, 3) float32.
        identity: (80, V, 3) float32, what each identity component adds at one standard deviation.
        expression: (52, V, 3) float32, what each ARKit shape adds at weight 1, in the order of `ARKIT`.
        albedo_mean: (V, 3) float32, BGR, 0 to 1.
        albedo: (80, V, 3) float32, what one standard deviation of each texture component adds.
        triangles: (T, 3) int32 vertex indices; cross(b - a, c - a) points out of the head.
        part: (T,) uint8: SKIN, EYE, MOUTH, TEETH, TONGUE or HEAD.
        uv: (V, 2) float32, 0 to 1: the head unrolled on a cylinder, u to the person's left, v down. The seam
            is at the back of the head.
        mirror: (V,) int32, each vertex's partner on the other side; the mean is symmetric.
        landmark_triangle: (478,) int32, the triangle in which each landmark of `face.landmarks` lies.
        landmark_weights: (478, 3) float32, where in it (barycentric).
    """

    mean: Floats
    identity: Floats
    expression: Floats
    albedo_mean: Floats
    albedo: Floats
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    uv: Floats
    mirror: NDArray[np.int32]
    landmark_triangle: NDArray[np.int32]
    landmark_weights: Floats

    def shape(self, identity: Floats, expression: Floats) -> Floats:
        """(V, 3) vertices of a face from (80,) standard deviations and (52,) ARKit weights."""
        moved = identity @ self._flat_identity + expression @ self._flat_expression
        return np.asarray(self.mean + moved.reshape(-1, 3), np.float32)

    def colours(self, texture: Floats) -> Floats:
        """(V, 3) albedo, BGR 0 to 1, from (80,) standard deviations."""
        moved = texture @ self.albedo.reshape(len(self.albedo), -1)
        return np.asarray(np.clip(self.albedo_mean + moved.reshape(-1, 3), 0, 1), np.float32)

    def landmarks(self, vertices: Floats) -> Floats:
        """(478, 3) landmarks on (V, 3) vertices."""
        return self._at_landmarks(vertices)

    @cached_property
    def landmark_mean(self) -> Floats:
        """(478, 3) landmarks of the mean."""
        return self._at_landmarks(self.mean)

    @cached_property
    def landmark_identity(self) -> Floats:
        """(80, 478, 3) what each identity component adds to the landmarks."""
        return self._at_landmarks(self.identity)

    @cached_property
    def landmark_expression(self) -> Floats:
        """(52, 478, 3) what each ARKit shape adds to the landmarks."""
        return self._at_landmarks(self.expression)

    @cached_property
    def _flat_identity(self) -> Floats:
        return self.identity.reshape(len(self.identity), -1)

    @cached_property
    def _flat_expression(self) -> Floats:
        return self.expression.reshape(len(self.expression), -1)

    def _at_landmarks(self, field: Floats) -> Floats:
        corners = field[..., self.triangles[self.landmark_triangle], :]  # (..., 478, 3, 3)
        return np.asarray(np.einsum("...nck,nc->...nk", corners, self.landmark_weights), np.float32)


def normals(vertices: Floats, triangles: NDArray[np.int32]) -> Floats:
    """(V, 3) unit normals out of the surface, the area-weighted means of the triangles around."""
    a, b, c = (vertices[triangles[:, corner]] for corner in range(3))
    area = np.cross(b - a, c - a)
    total = np.stack(
        [
            sum(np.bincount(triangles[:, corner], area[:, axis], len(vertices)) for corner in range(3))
            for axis in range(3)
        ],
        axis=1,
    )
    return np.asarray(total / (np.linalg.norm(total, axis=1, keepdims=True) + 1e-12), np.float32)


def harmonics(normals: Floats) -> Floats:
    """(..., 9) real spherical harmonics of (..., 3) unit normals, each without its constant factor.

    The nine polynomials of Ramamoorthi and Hanrahan, "An efficient representation for irradiance environment
    maps" (SIGGRAPH 2001), equation 3: 1, y, z, x, xy, yz, 3z^2 - 1, xz, x^2 - y^2. Their factors, and the
    response of a surface that scatters evenly, are left to the coefficients.
    """
    x, y, z = np.moveaxis(normals, -1, 0)
    terms = [np.ones_like(x), y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y]
    return np.stack(terms, axis=-1)


def shading(normals: Floats, lighting: Floats) -> Floats:
    """(..., 3) light, BGR, that falls on (..., 3) unit normals from (9, 3) lighting.

    Albedo times it is a pixel. Normals are those of the posed face: light stays when a head turns.
    """
    return np.asarray(harmonics(normals) @ lighting, np.float32)


@cache
def face_model() -> FaceModel:
    """The shipped face model (built by engines/face_params/build_face_model.py), loaded once."""
    with np.load(shipped("face_model.npz"), allow_pickle=False) as data:
        return unpacked({name: data[name] for name in data.files})


def unpacked(stored: dict[str, NDArray[Any]]) -> FaceModel:
    """The model from its stored arrays: fields as integers, each component with a scale of its own."""

    def field(name: str) -> Floats:
        whole, scale = stored[name], stored[f"{name}_scale"].astype(np.float32)
        return np.asarray(np.multiply(whole, scale[:, None, None], dtype=np.float32))

    count = len(stored["mean"])
    expression = np.zeros((len(ARKIT), count, 3), np.float32)
    expression.reshape(-1, 3)[stored["expression_at"]] = (
        stored["expression"].astype(np.float32) * stored["expression_scale"]
    )
    return FaceModel(
        mean=stored["mean"].astype(np.float32),
        identity=field("identity"),
        expression=expression,
        albedo_mean=stored["albedo_mean"].astype(np.float32) / np.float32(255),
        albedo=field("albedo"),
        triangles=stored["triangles"].astype(np.int32),
        part=stored["part"].astype(np.uint8),
        uv=stored["uv"].astype(np.float32),
        mirror=stored["mirror"].astype(np.int32),
        landmark_triangle=stored["landmark_triangle"].astype(np.int32),
        landmark_weights=stored["landmark_weights"].astype(np.float32),
    )
