"""Build `face_mesh.npz`: the landmark-resolution 3D face that `xpcam` ships.

    python -m engines.face_params.build_face_mesh --labels faces_labels.npz

From the teacher's 478 three-dimensional landmarks of the generated portraits:

1. Generalised Procrustes analysis (Gower 1975) puts every labelled face into one frame.
2. Ridge regression of the aligned landmarks on the 51 blend-shape scores (ARKit's but tongueOut) gives a neutral mean
   face (the intercept) and one displacement field per ARKit blend shape.
   Each field is kept to the part of the face that its name speaks of.
3. The neutral face is made symmetric about x = 0, and a Delaunay triangulation of it, mouth and
   eyes opened so that lips and lids keep apart, gives the mesh that is warped at run time.

The face's outer eye corners are 1 unit apart; x right, y down, z away from the camera.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial import Delaunay

from xpcam.face import landmarks as fl

Array = NDArray[np.float64]
RIDGE = 3.0
OPENING = {"jawOpen": 0.6, "eyeWideLeft": 1.0, "eyeWideRight": 1.0}


def similarity(source: Array, goal: Array) -> tuple[Array, float, Array]:
    """Least-squares rotation, scale, translation from source to goal, both (N, 3) (Umeyama 1991)."""
    a, b = source - source.mean(0), goal - goal.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * sign) @ vt
    scale = float((s * sign).sum() / (a * a).sum())
    return rotation, scale, goal.mean(0) - scale * rotation @ source.mean(0)


def align(faces: Array, rounds: int = 5) -> Array:
    """(M, N, 3) faces in image pixels -> the same, each moved into a common upright frame."""
    mean = faces[0] - faces[0].mean(0)
    for _ in range(rounds):
        moved = []
        for face in faces:
            # Points that expression moves would turn an opened jaw into a nod.
            rotation, scale, shift = similarity(face[list(fl.RIGID)], mean[list(fl.RIGID)])
            moved.append(scale * face @ rotation.T + shift)
        aligned = np.array(moved)
        mean = upright(aligned.mean(0))
    return aligned


def upright(face: Array) -> Array:
    """Turn, scale and centre a mean face: eyes level, facing the camera, outer corners 1 unit apart."""
    x = face[fl.EYE_CORNERS[1]] - face[fl.EYE_CORNERS[0]]
    forehead_to_chin = face[fl.CHIN] - face[fl.FOREHEAD]
    unit = float(np.linalg.norm(x))
    x = x / unit
    y = forehead_to_chin - x * (forehead_to_chin @ x)
    y /= np.linalg.norm(y)
    rotation = np.stack([x, y, np.cross(x, y)])
    origin = face[list(fl.EYE_CORNERS)].mean(0)
    return (face - origin) @ rotation.T / unit


def ridge(aligned: Array, scores: Array) -> tuple[Array, Array]:
    """Neutral face (N, 3) and blend-shape displacements (51, N, 3) by ridge regression."""
    count, points = aligned.shape[:2]
    design = np.concatenate([np.ones((count, 1)), scores], axis=1)
    penalty = RIDGE * np.eye(design.shape[1])
    penalty[0, 0] = 0.0
    solution = np.linalg.solve(design.T @ design + penalty, design.T @ aligned.reshape(count, -1))
    return solution[0].reshape(points, 3), solution[1:].reshape(-1, points, 3)


def in_eye_distances(neutral: Array, basis: Array) -> tuple[Array, Array]:
    """Neutral and blend shapes, scaled and moved so that the outer eye corners are 1 apart about the origin."""
    corners = neutral[list(fl.EYE_CORNERS)]
    unit = float(np.linalg.norm(corners[1] - corners[0]))
    return (neutral - corners.mean(0)) / unit, basis / unit


def in_their_places(neutral: Array, basis: Array, names: list[str]) -> Array:
    """Blend shapes without what regression found by chance: a blink moves no chin, a jaw no brow."""
    height = neutral[:, 1]
    above, below = np.clip((0.45 - height) / 0.3, 0.0, 1.0), np.clip((height + 0.1) / 0.3, 0.0, 1.0)
    masks = [
        above if n.startswith(("eye", "brow")) else below if n.startswith(("jaw", "mouth")) else 1.0
        for n in names
    ]
    return np.stack([field * np.reshape(mask, (-1, 1)) for field, mask in zip(basis, masks, strict=True)])


def mirror_of(neutral: Array) -> NDArray[np.int64]:
    """(N,) index of each landmark's partner on the other side of the face."""
    flipped = neutral * (-1.0, 1.0, 1.0)
    distance = np.linalg.norm(neutral[:, None] - flipped[None], axis=2)
    partner = linear_sum_assignment(distance + distance.T)[1]
    if not np.array_equal(partner[partner], np.arange(len(neutral))):
        raise SystemExit("face mesh: landmarks do not pair off left and right")
    return partner


def triangulate(
    neutral: Array, basis: Array, names: list[str]
) -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Triangles (T, 3) and for each 0 skin, 1 eye, 2 mouth interior (all corners on one inner contour)."""
    opened = neutral + sum(weight * basis[names.index(name)] for name, weight in OPENING.items())
    triangles = Delaunay(opened[: fl.FACE_POINTS, :2]).simplices.astype(np.int32)
    part = np.zeros(len(triangles), np.uint8)
    for label, contour in ((1, fl.RIGHT_EYE), (1, fl.LEFT_EYE), (2, fl.INNER_LIPS)):
        part[np.isin(triangles, contour).all(1)] = label
    a, b, c = (opened[triangles[:, i], :2] for i in range(3))
    area = (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]
    triangles[area < 0] = triangles[area < 0][:, ::-1]
    keep = np.abs(area) > 1e-6
    for contour in (fl.RIGHT_EYE, fl.LEFT_EYE, fl.INNER_LIPS):
        edges = {
            tuple(sorted(pair)) for t in triangles for pair in ((t[0], t[1]), (t[1], t[2]), (t[2], t[0]))
        }
        missing = [
            p for p in zip(contour, np.roll(contour, -1), strict=True) if tuple(sorted(p)) not in edges
        ]
        if missing:
            raise SystemExit(f"face mesh: contour edges {missing} are not in the triangulation")
    return triangles[keep], part[keep]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("face_mesh.npz"))
    options = parser.parse_args()
    labels = np.load(options.labels)
    names = [str(name) for name in labels["blendshape_names"]][1:]
    faces = labels["landmarks"].astype(np.float64) * float(labels["landmarks_scale"])
    frontal = np.degrees(np.arccos(np.clip(labels["transforms"][:, 2, 2], -1, 1))) < 25
    aligned = align(faces[frontal])
    neutral, basis = ridge(aligned, labels["blendshapes"][frontal, 1:].astype(np.float64))
    neutral, basis = in_eye_distances(neutral, basis)
    basis = in_their_places(neutral, basis, names)
    partner = mirror_of(neutral)
    neutral = (neutral + neutral[partner] * (-1.0, 1.0, 1.0)) / 2
    triangles, part = triangulate(neutral, basis, names)
    np.savez_compressed(
        options.output,
        neutral=neutral.astype(np.float32),
        basis=basis.astype(np.float16),
        blendshape_names=np.array(names),
        mirror=partner.astype(np.int16),
        triangles=triangles.astype(np.int16),
        triangle_part=part,
    )
    print(
        f"{options.output}: {len(neutral)} landmarks, {len(triangles)} triangles, from {frontal.sum()} faces"
    )


if __name__ == "__main__":
    main()
