"""Render what is behind parted lips: teeth that stay with the skull or go with the jaw, gums, tongue, darkness.

The mesh of `mouth_mesh` is placed by the head's pose and drawn into the opening between the inner lips. Shut jaws show
clenched teeth there, whatever the lips do: what a drawing that starts from the lips' shape gets wrong.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.mouth_mesh import TEETH, TONGUE, MouthMesh
from engines.face_params.warping import Warp
from xpcam.face import landmarks as fl
from xpcam.frame import Pose
from xpcam.warping.mesh_warp import MeshRasteriser

Random = np.random.Generator
WINDOW = 112  # side of what is drawn at a time, pixels: an opening at its widest in a crop, as a rule
FINER = 2  # samples a pixel, each way
NEUTRAL_WIDTH = 0.495  # of the mesh's head between the inner lips' corners
CHIN = (148, 152, 377)
CORNERS = (78, 308)


@dataclass(frozen=True, slots=True)
class Look:
    """Colours and light of one mouth; colours BGR, 0 to 255 in full light.

    Attributes:
        teeth: (32, 3) the colour of each tooth.
        gums, tongue, throat: (3,).
        light: (3,) unit vector towards the light, in the face's axes (x right, y down, z away).
        ambient: share of the light that comes from everywhere.
        gloss: brightness of wet highlights, 0 to 1.
        depth: how far behind the incisors light fades to 1 / e, outer-eye distances.
        shadow: how dark it is beneath the upper lip, 0 to 1.
    """

    teeth: Floats
    gums: Floats
    tongue: Floats
    throat: Floats
    light: Floats
    ambient: float
    gloss: float
    depth: float
    shadow: float


@dataclass(frozen=True, slots=True)
class Place:
    """Where a mouth is and what its jaw does.

    Attributes:
        matrix: (3, 4) from the mesh's frame to pixels x, y and a depth, larger is farther.
        drop: how far the chin has dropped, outer-eye distances.
        sideways: how far the jaw has gone to the right of the picture of an unturned head, likewise.
        tongue: (3,) how far the tongue is from where it rests, likewise.
    """

    matrix: Floats
    drop: float
    sideways: float
    tongue: Floats


class MouthRenderer:
    """Draws mouths of one mesh; owns its buffers.

    Args:
        window: side of the square that is drawn, pixels; what an opening has beyond it stays as it is.
    """

    def __init__(self, mesh: MouthMesh, window: int = WINDOW) -> None:
        self._mesh, self.window = mesh, window
        self._raster = MeshRasteriser(mesh.triangles, (window * FINER, window * FINER))
        self._is_tongue = (mesh.tooth == TONGUE).astype(np.float32)[:, None]

    def draw(self, place: Place, look: Look, middle: Floats) -> Floats:
        """(window, window, 3) colours 0 to 255 of what is about `middle` (2,), a whole pixel, lips taken away."""
        mesh = self._mesh
        moved = mesh.vertices + mesh.opening * np.float32(place.drop) + self._is_tongue * place.tongue
        moved[:, 0] += mesh.lower * np.float32(place.sideways)
        seen = moved @ place.matrix[:, :3].T + place.matrix[:, 3]
        corner = (middle - self.window // 2).astype(np.float32)
        points = np.asarray((seen[:, :2] - corner) * FINER + (FINER - 1) / 2, np.float32)
        colours = np.asarray(self._colours(look) / 255, np.float32)
        drawn = self._raster.draw(points, colours, seen[:, 2])
        drawn[drawn[..., 2] == 0] = look.throat / 255
        return np.asarray(cv2.resize(drawn, (self.window,) * 2, interpolation=cv2.INTER_AREA)) * 255

    def _colours(self, look: Look) -> Floats:
        """(V, 3) lit colours."""
        mesh = self._mesh
        palette = np.vstack(
            [look.teeth, look.tongue, look.gums]
        )  # so that -2 is the tongue's and -1 the gums'
        albedo = palette[mesh.tooth]
        lit = np.clip(mesh.normals @ look.light, 0, 1)
        half = look.light + np.array([0, 0, -1], np.float32)
        wet = np.clip(mesh.normals @ (half / np.linalg.norm(half)), 0, 1) ** 24 * np.float32(look.gloss * 255)
        behind = np.maximum(mesh.vertices[:, 2] - 0.06, 0) / np.float32(look.depth)
        reach = np.exp(-behind) * (look.ambient + (1 - look.ambient) * lit)
        colours = albedo * reach[:, None] + (wet * np.exp(-2 * behind))[:, None] + look.throat * 0.3
        return np.asarray(np.clip(colours, 1, 255), np.float32)


def fill(
    crop: Pixels, lips: Floats, renderer: MouthRenderer, place: Place, look: Look, softness: float
) -> None:
    """Put a mouth into the inner-lip contour `lips` (20, 2) of a crop, in place; `softness` blurs it, pixels."""
    window = renderer.window
    middle = np.round((lips.min(axis=0) + lips.max(axis=0)) / 2)
    low = middle.astype(int) - window // 2
    mask: Floats = np.zeros((window, window), np.float32)
    cv2.fillPoly(mask, [np.round((lips - low) * 16).astype(np.int32)], 1.0, cv2.LINE_AA, 4)
    inside = renderer.draw(place, look, middle)
    if look.shadow > 0:
        inside *= beneath_lip(mask, float(np.linalg.norm(lips[10] - lips[0])), look.shadow)
    inside = cv2.GaussianBlur(inside, (0, 0), softness)
    share = cv2.GaussianBlur(mask, (3, 3), 0)[..., None]
    first, last = np.maximum(low, 0), np.minimum(low + window, crop.shape[1::-1])
    if (last <= first).any():
        return
    view = crop[first[1] : last[1], first[0] : last[0]]
    part = (slice(first[1] - low[1], last[1] - low[1]), slice(first[0] - low[0], last[0] - low[0]))
    view[:] = (view + (inside[part] - view) * share[part]).astype(np.uint8)


def beneath_lip(mask: Floats, width: float, strength: float) -> Floats:
    """(h, w, 1) brightness of an opening: dark along its rim, most so beneath the upper lip."""
    sigma = max(0.8, 0.05 * width)
    down = np.array([[1, 0, 0], [0, 1, sigma]], np.float32)
    open_sky = cv2.GaussianBlur(cv2.warpAffine(mask, down, mask.shape[::-1]), (0, 0), sigma)
    return np.asarray(1 - np.float32(strength) * (1 - open_sky), np.float32)[..., None]


def place_mouth(rng: Random, warp: Warp, own: Floats, matrix: Floats) -> Place:
    """Where the mouth of a warped portrait is.

    Args:
        rng: draws what landmarks do not tell: how high the teeth are, where the tongue is.
        warp: its `still` tells the head's pose, its `after` what the chin does.
        own: (51,) blend-shape weights of the portrait, which tell its neutral mouth.
        matrix: (2, 3) from the portrait's pixels to the crop's, mirrored or not.
    """
    pose = fl.fit_pose(warp.still)
    neutral = fl.unpose(warp.still, pose) - np.tensordot(own, fl.face_mesh().basis, axes=1)
    moved = fl.unpose(warp.after, pose, depth_of(warp.still, pose)) - neutral
    chin = moved[list(CHIN)].mean(axis=0)
    width = float(np.linalg.norm(neutral[CORNERS[1]] - neutral[CORNERS[0]])) / NEUTRAL_WIDTH
    size = float(np.clip(width, 0.85, 1.2)) * rng.uniform(0.93, 1.05)
    origin = neutral[[13, 14]].mean(axis=0) + rng.normal((0, 0.012, 0), (0.004, 0.015, 0.015)).astype(
        np.float32
    )
    turn = fl.rotation_matrix(pose.rotation)
    full = np.eye(3, dtype=np.float32)
    full[:2, :2] = matrix[:, :2]
    full[2, 2] = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
    linear = full @ turn * np.float32(pose.scale)
    shift = linear @ origin
    shift[:2] += matrix[:, :2] @ pose.translation + matrix[:, 2]
    placed = np.concatenate([linear * np.float32(size), shift[:, None]], axis=1).astype(np.float32)
    drop = max(0.0, float(chin[1])) / size
    rest = rng.uniform((-0.02, -0.12, -0.06), (0.02, 0.04, 0.1)).astype(np.float32)
    return Place(placed, drop, float(chin[0]) / size, rest)


def depth_of(landmarks: Floats, pose: Pose) -> float:
    """z in pixels of the face's origin, where the rigid landmarks say it is."""
    rigid = list(fl.RIGID)
    turned = fl.face_mesh().neutral[rigid] @ fl.rotation_matrix(pose.rotation)[2]
    return float(landmarks[rigid, 2].mean() - pose.scale * turned.mean())


def random_look(rng: Random, light: float, lip: Floats) -> Look:
    """Teeth from white to yellow and grey, in the light of a face whose brightness is `light`, 0 to 1.

    Args:
        lip: (3,) the colour of the lips, which gums and tongue resemble.
    """
    level = 255 * np.clip(light * rng.uniform(0.55, 1.4), 0.1, 0.95)
    tooth = level * rng.uniform((0.76, 0.91, 0.97), (0.97, 0.98, 1.0))
    teeth = tooth * rng.uniform(0.93, 1.03, (TEETH, 1))
    if rng.random() < 0.1:  # one is missing, or dark
        teeth[rng.integers(TEETH)] *= rng.uniform(0.05, 0.7)
    flesh = np.array((105, 95, 175)) * light * rng.uniform(0.7, 1.2)
    flesh = flesh + (lip - flesh) * rng.uniform(0.1, 0.7)
    throat = rng.uniform((0.5, 0.5, 1.0), (0.8, 0.8, 1.3)) * 255 * light * rng.uniform(0.02, 0.16)
    toward = rng.normal((0, -0.35, -0.9), 0.5)  # from above and the camera
    return Look(
        teeth=teeth.astype(np.float32),
        gums=(flesh * rng.uniform(0.8, 1.2, 3)).astype(np.float32),
        tongue=(flesh * rng.uniform(0.8, 1.2)).astype(np.float32),
        throat=throat.astype(np.float32),
        light=(toward / np.linalg.norm(toward)).astype(np.float32),
        ambient=float(rng.uniform(0.3, 0.8)),
        gloss=float(rng.uniform(0, 0.5) * light),
        depth=float(np.exp(rng.uniform(np.log(0.12), np.log(0.6)))),
        shadow=float(rng.uniform(0.1, 0.9)),
    )
