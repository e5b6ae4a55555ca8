"""Build the colours of `face_model.npz` from the labelled portraits.

    python -m engines.face_params.build_albedo --data DIR

For each portrait of the training split:

1. The morphable face is fitted to the teacher's landmarks (`xpcam.face_fit`); what it could not reach moves the
   vertices around each landmark as well. The picture is sampled at every vertex that is seen.
2. Light (9 spherical harmonics a channel) is fitted to these colours and the mean albedo, and the colours
   divided by it (`xpcam.face_appearance`); the mean follows.
3. The two sides of the face are averaged, which halves what light is left in the colours; what is seen on
   neither side or looks like hair is left open.
4. Principal components with what is open filled in from the components, in turn (Roweis, "EM algorithms for
   PCA and SPCA", NIPS 1998); ears, scalp and neck continue the face's edge.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import spsolve
from scipy.spatial import cKDTree

from engines.demo.mesh import Array
from engines.face_params.data import Portraits, load
from engines.face_params.packing import OUTPUT, quantised, store
from xpcam.face.appearance import Seen, look, unlit
from xpcam.face.fit import fit
from xpcam.face.model import EYE, HEAD, MOUTH, SKIN, TEETH, TEXTURES, TONGUE, FaceModel, face_model
from xpcam.frame import Floats

REACH = 0.12  # outer-eye distances around a landmark that follow it
ODD = 3.5  # robust deviations from which on a colour is taken for hair, glass or shadow
ALTERNATIONS = 3  # light from the mean albedo, the mean albedo from the light
ROUNDS = 6
PAINTED = {MOUTH: (0.12, 0.10, 0.30), TEETH: (0.72, 0.80, 0.84), TONGUE: (0.42, 0.40, 0.72)}
"""BGR of what portraits hardly show."""


class Places:
    """Where the vertices of a face are in its picture, by fit and landmarks."""

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        distance, near = cKDTree(model.landmark_mean).query(model.mean, k=4)
        share = np.exp(-((distance / REACH) ** 2)) + 1e-12
        follow = np.exp(-((distance[:, :1] / REACH) ** 2))
        self._near, self._share = near, share / share.sum(axis=1, keepdims=True) * follow

    def of(self, landmarks: Floats) -> tuple[Floats, float]:
        """(V, 3) pixels of the vertices, and pixels a unit of the model."""
        found = fit(landmarks)
        vertices = found.vertices(self._model)
        rest = (landmarks - self._model.landmarks(vertices))[:, :2]
        vertices[:, :2] += (rest[self._near] * self._share[..., None]).sum(axis=1)
        return vertices, found.pose.scale


def sample(portraits: Portraits, model: FaceModel) -> list[Seen]:
    """Every portrait, read at the vertices."""
    places = Places(model)
    return [
        look(picture, *places.of(landmarks), model)
        for picture, landmarks in zip(portraits.pictures, portraits.landmarks, strict=True)
    ]


def albedos(pictures: list[Seen], model: FaceModel) -> tuple[Floats, NDArray[np.bool_]]:
    """(N, V, 3) albedo of each portrait, both sides alike, and (N, V) where it is known."""
    mirror = model.mirror
    known = np.stack([picture.seen for picture in pictures])
    mean = _mean(np.stack([picture.colours for picture in pictures]), known, mirror)
    for _ in range(ALTERNATIONS):
        albedo = np.stack([unlit(picture, mean.astype(np.float32))[1] for picture in pictures])
        mean = _mean(albedo, known, mirror)
    known = known & ~odd(albedo, known)
    both = known.astype(np.float32)
    total = both + both[:, mirror]
    albedo = albedo * both[..., None]
    albedo = (albedo + albedo[:, mirror]) / np.maximum(total, 1)[..., None]
    return albedo, total > 0


def _mean(colours: Floats, known: NDArray[np.bool_], mirror: NDArray[np.int32]) -> Array:
    """(V, 3) mean of what is known, both sides alike."""
    total = np.einsum("nvc,nv->vc", colours, known.astype(np.float32)).astype(np.float64)
    count = known.sum(axis=0)[:, None]
    return np.asarray((total + total[mirror] + 1e-6) / (count + count[mirror] + 1e-5))


def odd(albedo: Floats, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(N, V) colours far from what this person's skin and this place of the face make likely."""
    level = np.log(np.maximum(albedo.mean(axis=2), 0.02))
    level = np.where(known, level, np.nan)
    level = level - np.nanmedian(level, axis=1, keepdims=True)
    level = level - np.nanmedian(level, axis=0)
    spread = 1.48 * np.nanmedian(np.abs(level), axis=0)
    return np.asarray(np.abs(np.nan_to_num(level)) > ODD * np.maximum(spread, 0.06))


def components(rows: Floats, known: NDArray[np.bool_]) -> tuple[Array, Array, float]:
    """Mean (P, 3), components (80, P, 3) at one standard deviation, and the share of variance that they hold.

    Args:
        rows: (N, P, 3) colours; known: (N, P) which of them count.
    """
    mask = np.repeat(known, 3, axis=1)
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    mean = (flat * mask).sum(axis=0) / np.maximum(mask.sum(axis=0), 1)
    filled = np.where(mask, flat, mean)
    for _ in range(ROUNDS):
        mean = filled.mean(axis=0)
        centred = filled - mean
        values, vectors = np.linalg.eigh(centred @ centred.T)
        chosen = vectors[:, np.argsort(values)[::-1][:TEXTURES]]
        basis = chosen.T @ centred
        filled = np.where(mask, flat, mean + chosen @ basis)
    left = ((filled - mean - chosen @ basis) ** 2 * mask).sum()
    held = 1 - float(left / (((flat - mean) * mask) ** 2).sum())
    shape = rows.shape[1:]
    return mean.reshape(shape), basis.reshape(TEXTURES, *shape) / np.sqrt(len(rows)), held


def spread_out(field: Array, given: NDArray[np.bool_], model: FaceModel) -> Array:
    """(..., V, 3) with the vertices that are not given continuing the others smoothly along the mesh's edges."""
    count = len(model.mean)
    pairs = model.triangles[:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2)
    edges = sparse.coo_matrix((np.ones(len(pairs)), pairs.T), (count, count))
    joined = ((edges + edges.T) > 0).astype(np.float64)
    laplace = sparse.diags(np.asarray(joined.sum(axis=1)).ravel() + 1e-6) - joined
    open_ = np.flatnonzero(~given)
    inner = laplace[open_][:, open_].tocsc()
    values = np.moveaxis(field, -2, 0).reshape(count, -1).copy()
    values[open_] = spsolve(inner, -(laplace[open_][:, given] @ values[given])).reshape(len(open_), -1)
    return np.moveaxis(values.reshape(count, *field.shape[:-2], 3), 0, -2)


def vertices_of(model: FaceModel, *parts: int) -> NDArray[np.bool_]:
    """(V,) whether a vertex belongs to a triangle of these parts."""
    mask = np.zeros(len(model.mean), bool)
    mask[model.triangles[np.isin(model.part, parts)]] = True
    return mask


def build(portraits: Portraits, model: FaceModel) -> tuple[Array, Array]:
    """(V, 3) mean and (80, V, 3) components of the albedo."""
    skin, eyes = vertices_of(model, SKIN), vertices_of(model, EYE)
    albedo, known = albedos(sample(portraits, model), model)
    print(f"albedo: {len(albedo)} portraits, {known[:, skin].mean():.0%} of the skin known")
    often = skin & (known.mean(axis=0) > 0.2)
    half = np.flatnonzero(often & (np.arange(len(skin)) <= model.mirror))  # both sides are alike
    middle, basis, held = components(albedo[:, half], known[:, half])
    print(f"albedo: {TEXTURES} components hold {held:.1%} of the variance")
    mean, field = np.zeros((len(skin), 3)), np.zeros((TEXTURES, len(skin), 3))
    for side in (half, model.mirror[half]):
        mean[side], field[:, side] = middle, basis
    mean, field = spread_out(mean, often, model), spread_out(field, often, model)
    mean[eyes] = _mean(albedo, known, model.mirror)[eyes]
    painted = vertices_of(model, EYE, *PAINTED) & ~skin
    field[:, painted] = 0.0
    for part, colour in PAINTED.items():
        mean[vertices_of(model, part) & ~vertices_of(model, SKIN, HEAD)] = colour
    return np.clip(mean, 0, 1), field


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--model", type=Path, default=OUTPUT, help="face_model.npz to put the colours into")
    parser.add_argument("--limit", type=int, help="portraits to use, for a quick look")
    options = parser.parse_args()
    portraits = load(options.data)[0]
    count = options.limit or len(portraits.pictures)
    step = -(-len(portraits.pictures) // count)
    some = Portraits(
        portraits.pictures[::step], portraits.landmarks[::step], portraits.scores[::step],
        portraits.weights[::step], portraits.people[::step],
    )  # fmt: skip
    mean, field = build(some, face_model())
    whole, unit = quantised(field, np.int8)
    with np.load(options.model, allow_pickle=False) as data:
        stored = {name: data[name] for name in data.files}
    stored |= {"albedo_mean": np.rint(255 * mean).astype(np.uint8), "albedo": whole, "albedo_scale": unit}
    store(options.model, stored)
    print(f"{options.model}: {options.model.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
