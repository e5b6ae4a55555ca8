"""The inside of a mouth as a mesh: 32 teeth, gums and tongue of ICT-FaceKit's mean head, and how a jaw moves them.

ICT-FaceKit: Li et al., "Learning Formation of Physically-Based Face Attributes" (CVPR 2020), MIT licence. The mesh
is read from its file where somebody has it; nothing of it ships.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engines.face_params.arrays import Floats
from xpcam.face.model import normals

GUMS, TONGUE = -1, -2
EYE_CORNERS = (1507, 3721)  # vertices of the outer ones, the person's right first
INNER_LIPS = (5533, 5517)  # the middle of the upper one, of the lower one
CHIN_DROP = (
    0.344  # that jawOpen at weight 1 causes in `face.landmarks`' mesh, whose chin tells how open a jaw is
)
SEEN = 0.0  # triangles whose normal points away from the camera by more (its z) are left out
DEEPEST = 0.45  # nothing behind this is drawn: the last molars, the throat
TEETH = 32


@dataclass(frozen=True, slots=True)
class MouthMesh:
    """V vertices of a mouth with its jaw shut, in `face.landmarks`' axes and unit, (0, 0, 0) between the lips' middles.

    Attributes:
        vertices: (V, 3) float32; the incisors lie behind the lips, about at z 0.05.
        opening: (V, 3) what a jaw that drops the chin by 1 unit adds: nothing to the upper half.
        lower: (V,) 0 to 1: how far a vertex goes along with the jaw.
        normals: (V, 3) unit, out of the surface.
        tooth: (V,) int, 0 to 31 from the person's right, the upper row first; or GUMS or TONGUE.
        triangles: (T, 3) int32.
    """

    vertices: Floats
    opening: Floats
    lower: Floats
    normals: Floats
    tooth: NDArray[np.int16]
    triangles: NDArray[np.int32]


def load_mouth(file: Path) -> MouthMesh:
    """Read the mesh from an .npz of ICT-FaceKit: `vertices`, `faces`, `part`, `part_names`, `expression` and its names.

    Raises:
        SystemExit: the file is no such file.
    """
    with np.load(file, allow_pickle=False) as data:
        wanted = {"vertices", "faces", "part", "part_names", "expression", "expression_names"}
        if not wanted <= set(data):
            raise SystemExit(
                f"{file}: found {', '.join(data)}; wanted {', '.join(sorted(wanted))}; give ICT-FaceKit"
            )
        vertices, faces, part = data["vertices"], data["faces"], data["part"]
        parts = [str(name) for name in data["part_names"]]
        shapes = [str(name) for name in data["expression_names"]]
        jaw = data["expression"][shapes.index("jawOpen")].astype(np.float32)
    unit = float(np.linalg.norm(vertices[EYE_CORNERS[1]] - vertices[EYE_CORNERS[0]]))
    axes = np.array([1, -1, -1], np.float32) / unit
    placed = (vertices - vertices[list(INNER_LIPS)].mean(axis=0)) * axes
    is_tooth = part == parts.index("teeth")
    inside = is_tooth | (part == parts.index("gums_tongue"))
    kept = faces[inside[faces].all(axis=1)]
    tooth = np.where(is_tooth, 0, GUMS).astype(np.int16)
    tooth[is_tooth] = numbered(placed, jaw, kept, np.flatnonzero(is_tooth))
    opening = jaw * axes / CHIN_DROP
    lower = np.clip(np.linalg.norm(opening, axis=1), 0, 1)
    tooth[inside & ~is_tooth & on_tongue(placed, lower, is_tooth)] = TONGUE
    facing = normals(placed, kept)
    ahead = np.cross(placed[kept[:, 1]] - placed[kept[:, 0]], placed[kept[:, 2]] - placed[kept[:, 0]])
    if (facing[is_tooth, 2] * (placed[is_tooth, 2] - 0.1)).mean() < 0:  # wound the other way
        facing, ahead = -facing, -ahead
    seen = (ahead[:, 2] < SEEN * np.linalg.norm(ahead, axis=1)) & (placed[kept, 2] < DEEPEST).all(axis=1)
    kept = kept[seen]
    rows, triangles = np.unique(kept, return_inverse=True)
    return MouthMesh(
        placed[rows], opening[rows], lower[rows], facing[rows], tooth[rows],
        triangles.reshape(-1, 3).astype(np.int32),
    )  # fmt: skip


def numbered(placed: Floats, jaw: Floats, faces: NDArray[np.int32], rows: NDArray[np.intp]) -> Floats:
    """The tooth that each of the vertices `rows` belongs to: upper ones 0 to 15, lower ones 16 to 31."""
    group = np.arange(len(placed))
    within = faces[np.isin(faces[:, 0], rows)]
    while True:  # every vertex takes the lowest name among its triangle's, until none changes
        before = group.copy()
        for corner in range(3):
            np.minimum.at(group, within[:, corner], group[within].min(axis=1))
        if (group == before).all():
            break
    names = np.unique(group[rows])
    below = np.array([np.abs(jaw[group == name]).max() > 0.01 for name in names])
    across = np.array([placed[group == name, 0].mean() for name in names])
    order = names[np.lexsort((across, below))]
    return np.argsort(order)[np.searchsorted(np.sort(order), group[rows])]


def on_tongue(placed: Floats, lower: Floats, teeth: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which vertices of the lower half lie inside the lower arch, farther from its teeth than gums are."""
    arch = placed[teeth & (lower > 0.5)]
    inner = np.full(len(placed), False)
    rows = np.flatnonzero(lower > 0.05)
    for some in np.array_split(rows, max(1, len(rows) // 500)):
        apart = np.linalg.norm(placed[some, None, ::2] - arch[None, :, ::2], axis=2).min(axis=1)
        inner[some] = apart > 0.03
    return inner & (np.abs(placed[:, 0]) < np.abs(arch[:, 0]).max())
