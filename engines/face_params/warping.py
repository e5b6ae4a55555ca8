"""Expression warping: put another expression on a labelled portrait, so that its landmarks are exact.

The face's mesh is moved by random ARKit blend shapes (and a small turn of the head) in the face's own frame, and
the portrait is moved along, straight into the crop. Rings of vertices around the face let the motion fade. Eye
openings are not squeezed but covered: a lid that closes hides the iris. An opened mouth gets a random inside.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.face_params.arrays import Floats, Pixels
from xpcam.face import landmarks as fl
from xpcam.tracking.crops import CROP
from xpcam.warping.mesh_warp import MeshRasteriser

Random = np.random.Generator
RINGS = (1.25, 1.6, 2.4, 6.0)  # size of each ring over the face's outline
FADE = (0.7, 0.3, 0.0, 0.0)  # share of the outline's motion that reaches it
EYES = (fl.RIGHT_EYE, fl.LEFT_EYE)
LIDS = (fl.RIGHT_LIDS, fl.LEFT_LIDS)
_RANGE = 8192.0  # source coordinates between minus and plus this, for colours in 0..1


def _group(*words: str) -> list[int]:
    names = fl.face_mesh().blendshape_names
    return [i for i, name in enumerate(names) if any(word in name for word in words)]


MOUTH_SHAPES = _group("mouth", "jaw")
BLINK = _group("eyeBlink")
LID_SHAPES = _group("eyeSquint", "eyeWide", "eyeLookDown", "eyeLookUp")
BROW_DOWN, BROW_UP = _group("browDown"), _group("browInner", "browOuter")
JAW_OPEN = _group("jawOpen")
CALM = 0.5  # share of the corners' and lips' own movements that quiet speech has
SMILE, PUCKER = _group("mouthSmile", "mouthStretch"), _group("mouthPucker", "mouthFunnel")


def random_mouth(rng: Random, scores: Floats, pool: Floats) -> None:
    """Write random mouth and jaw weights into `scores`, the blend-shape weights of a face."""
    kind = rng.random()
    if kind < 0.35:  # between two faces of the data, or beyond
        a, b = pool[rng.integers(len(pool), size=2)]
        scores[MOUTH_SHAPES] = ((a + (b - a) * rng.uniform(0, 1)) * rng.uniform(0.7, 1.6))[MOUTH_SHAPES]
    elif kind < 0.75:  # speech: the jaw with a few others
        scores[MOUTH_SHAPES] = 0.0
        scores[JAW_OPEN] = abs(rng.normal(0, 0.3))
        few = rng.choice(MOUTH_SHAPES, rng.integers(1, 5), replace=False)
        scores[few] = np.maximum(scores[few], rng.uniform(0, 0.9, len(few)))
        corners = rng.random()
        if corners < 0.35:
            scores[SMILE] = rng.uniform(0, 1.2, len(SMILE) if rng.random() < 0.4 else 1)
        elif corners < 0.7:
            scores[PUCKER] = rng.uniform(0, 1.6, len(PUCKER))
    else:
        scores[MOUTH_SHAPES] = 0.0
        scores[JAW_OPEN] = rng.uniform(0, 1.1)
        scores[SMILE if rng.random() < 0.5 else PUCKER] = rng.uniform(0, 0.8)


def random_expression(rng: Random, own: Floats, pool: Floats) -> Floats:
    """(51,) random blend-shape weights; a region keeps the portrait's own weights now and then.

    Args:
        own: the portrait's weights.
        pool: (N, 51) weights of real portraits.
    """
    scores = own.copy()
    if rng.random() < 0.85:
        random_mouth(rng, scores, pool)
    if rng.random() < 0.8 and own[BLINK].max() < 0.45:  # a shut eye has no eyeball to uncover
        scores[LID_SHAPES] = pool[rng.integers(len(pool))][LID_SHAPES] * rng.uniform(0.5, 1.3)
        blink = rng.uniform(0, 1.25) if rng.random() < 0.6 else rng.uniform(0, 0.3)
        scores[BLINK] = blink if rng.random() < 0.8 else rng.uniform(0, 1.25, 2)
    if rng.random() < 0.85:
        scores[BROW_DOWN + BROW_UP] = 0.0
        chosen = BROW_UP if rng.random() < 0.6 else BROW_DOWN
        scores[chosen] = rng.uniform(0, 1.6)
        if rng.random() < 0.4:
            scores[chosen] *= rng.uniform(0.3, 1.0, len(chosen))
    return scores


def calm_speech(rng: Random, own: Floats) -> Floats:
    """(51,) blend-shape weights of somebody who talks quietly, lids and brows almost as the portrait has them.

    Args:
        own: the portrait's weights. A smile of theirs is kept, or half of it, but the lips begin nearly shut.
    """
    scores = own.copy()
    scores[MOUTH_SHAPES] *= 0.0 if rng.random() < 0.6 else 0.5
    scores[JAW_OPEN] = abs(rng.normal(0, 0.13))
    few = rng.choice(MOUTH_SHAPES, rng.integers(1, 5), replace=False)
    scores[few] = np.maximum(scores[few], rng.uniform(0, 0.4, len(few)))
    scores[PUCKER if rng.random() < 0.6 else SMILE] += rng.uniform(0, 0.35)
    if own[BLINK].max() < 0.45 and rng.random() < 0.25:
        scores[BLINK] = rng.uniform(0, 1.25)
    return scores


def corner_reach() -> Floats:
    """(2, 478) how far each landmark goes along with the mouth's right and left corner, 0 to 1."""
    shape = fl.face_mesh().neutral
    apart = [(shape[:, :2] - shape[corner, :2]) / (0.17, 0.15) for corner in fl.MOUTH_CORNERS]
    return np.stack([np.exp(-0.5 * (way**2).sum(axis=1)) for way in apart]).astype(np.float32)


def move_corners(rng: Random, much: float = 1.0) -> Floats:
    """(478, 3) displacements that widen, narrow, lift or drop the mouth's corners, whatever the jaw does.

    The blend shapes alone couple width with opening as the data do, and a network then reads the one off the other.
    """
    moved = np.zeros((fl.LANDMARKS, 3), np.float32)
    across, down = rng.normal(0, (0.035, 0.025)) * much
    for side, reach in zip((-1.0, 1.0), corner_reach(), strict=True):
        own = rng.normal(0, (0.012, 0.01)) * much
        moved[:, 0] += reach * (across * side + own[0])
        moved[:, 1] += reach * (down + own[1])
    return moved


def lip_sides() -> tuple[Floats, Floats]:
    """How far each landmark goes along with the upper lip's middle, and with the lower's: (478,) each, 0 to 1."""
    shape = fl.face_mesh().neutral
    corner = shape[fl.MOUTH_CORNERS[1]]
    across = shape[:, 0] / corner[0]
    middle = (shape[13, 1] + shape[14, 1]) / 2
    above = middle + (corner[1] - middle) * across**2 - shape[:, 1]  # over the line between the lips
    above[list(fl.INNER_LIPS[1:10])] = 1e-3
    above[list(fl.INNER_LIPS[11:])] = -1e-3
    reach = np.exp(-0.5 * (above / np.where(above > 0, 0.12, 0.16)) ** 2) * np.clip(1 - across**2, 0, 1)
    return reach * (above > 0), reach * (above <= 0)


def part_lips(rng: Random, much: float = 1.0) -> Floats:
    """(478, 3) displacements that raise the upper and drop the lower lip, each by its own amount, the jaw still."""
    upper, lower = lip_sides()
    moved = np.zeros((fl.LANDMARKS, 3), np.float32)
    moved[:, 1] = (lower * abs(rng.normal(0, 0.045)) - upper * abs(rng.normal(0, 0.03))) * much
    return moved


def uncross(landmarks: Floats, down: Floats) -> None:
    """Let no upper lid or lip lie below its lower partner, seen along the face's own `down` (2,)."""
    for upper, lower in (*fl.RIGHT_LIDS, *fl.LEFT_LIDS, *fl.LIPS_APART):
        gap = float((landmarks[lower, :2] - landmarks[upper, :2]) @ down)
        if gap < 0.0:
            share = 0.7 if upper not in fl.INNER_LIPS else 0.5  # the upper lid does the closing
            landmarks[upper, :2] += down * gap * share
            landmarks[lower, :2] -= down * gap * (1 - share)


def turn(rng: Random) -> Floats:
    """A small random rotation of the head, (3, 3)."""
    angles = rng.normal(0, (0.09, 0.11, 0.03))
    return np.asarray(cv2.Rodrigues(angles)[0], np.float32)


@dataclass(frozen=True, slots=True)
class Warp:
    """A portrait's mesh before and after, in pixels of the portrait.

    Attributes:
        before, after: (478, 3) landmarks.
        still: (478, 3) landmarks moved by the head's turn alone.
        scores: (51,) blend-shape weights that were drawn.
    """

    before: Floats
    after: Floats
    still: Floats
    scores: Floats


def random_warp(rng: Random, landmarks: Floats, own: Floats, pool: Floats, calm: bool = False) -> Warp:
    """Draw an expression for the face `landmarks` (478, 3) whose own blend-shape weights are `own`.

    Args:
        calm: quiet speech in place of anything that a face can do.
    """
    pose = fl.fit_pose(landmarks)
    rotation = fl.rotation_matrix(pose.rotation)
    scores = calm_speech(rng, own) if calm else random_expression(rng, own, pool)
    much = CALM if calm else 1.0
    moved = np.tensordot(scores - own, fl.face_mesh().basis, axes=1)
    if rng.random() < 0.7:
        moved = moved + move_corners(rng, much)
    if rng.random() < 0.5:
        moved = moved + part_lips(rng, much)
    moved = moved @ rotation.T * pose.scale
    expressed = landmarks + moved.astype(np.float32)
    expressed[fl.FACE_POINTS :] = landmarks[fl.FACE_POINTS :]  # irises stay: gaze comes from the data
    uncross(expressed, rotation[:2, 1] / np.linalg.norm(rotation[:2, 1]))
    centre = landmarks[: fl.FACE_POINTS].mean(axis=0)
    about = turn(rng) if rng.random() < 0.7 else np.eye(3, dtype=np.float32)
    after, still = ((face - centre) @ about.T + centre for face in (expressed, landmarks))
    return Warp(landmarks, after, still, scores)


def _triangles() -> NDArray[np.int32]:
    """The face, the eye openings with vertices of their own (after 468), and the rings (after those)."""
    mesh = fl.face_mesh()
    triangles = mesh.triangles.copy()
    own = {point: fl.FACE_POINTS + i for i, point in enumerate((*EYES[0], *EYES[1]))}
    for row in np.flatnonzero(mesh.triangle_part == 1):
        triangles[row] = [own[int(point)] for point in triangles[row]]
    count, first = len(fl.FACE_OVAL), fl.FACE_POINTS + len(own)
    inner, rows = list(fl.FACE_OVAL), []
    for ring in range(len(RINGS)):
        outer = [first + ring * count + i for i in range(count)]
        for i in range(count):
            j = (i + 1) % count
            rows += [(inner[i], inner[j], outer[i]), (inner[j], outer[j], outer[i])]
        inner = outer
    return np.concatenate([triangles, np.array(rows, np.int32)])


class Warper:
    """Draws warped portraits; owns its buffers."""

    def __init__(self) -> None:
        self._raster = MeshRasteriser(_triangles(), (CROP, CROP))

    def render(self, picture: Pixels, warp: Warp, matrix: Floats, border: int) -> Pixels:
        """The warped portrait through `matrix` (2, 3), as a (256, 256, 3) crop."""
        source, goal = self._vertices(warp)
        places = goal[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        values = np.full((len(source), 3), 1.0, np.float32)
        values[:, :2] = source[:, :2] / (2 * _RANGE) + 0.5
        drawn = self._raster.draw(places.astype(np.float32), values, goal[:, 2])
        sample = (drawn[..., :2] - 0.5) * (2 * _RANGE)
        return cv2.remap(picture, sample[..., 0], sample[..., 1], cv2.INTER_LINEAR, borderMode=border)

    def _vertices(self, warp: Warp) -> tuple[Floats, Floats]:
        """Source and goal of all vertices, (V, 3) each, pixels of the portrait."""
        before, after = warp.before[: fl.FACE_POINTS], warp.after[: fl.FACE_POINTS]
        eye_source, eye_goal = [], []
        for contour in EYES:
            eye_source.append(_uncovered(warp, contour))
            eye_goal.append(after[list(contour)])
        oval = list(fl.FACE_OVAL)
        centre_before, motion = before[oval].mean(axis=0), after[oval] - before[oval]
        rings = [centre_before + (before[oval] - centre_before) * size for size in RINGS]
        moved = [ring + motion * fade for ring, fade in zip(rings, FADE, strict=True)]
        return np.concatenate([before, *eye_source, *rings]), np.concatenate([after, *eye_goal, *moved])


def _uncovered(warp: Warp, contour: tuple[int, ...]) -> Floats:
    """(16, 3) where the rim of an eye opening samples the portrait.

    Where the lid has come over the eyeball, the eyeball itself, which only turned with the head; where the eye
    opened further than the portrait shows it, the portrait's rim.
    """
    rim = list(contour)
    before, after, still = warp.before[rim], warp.after[rim], warp.still[rim]
    partner = np.array([0, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1])
    middle = (still + still[partner]) / 2
    inward = middle - still
    depth = ((after - still) * inward).sum(1) / np.maximum((inward * inward).sum(1), 1e-6)
    covered = np.clip(depth, 0.0, 1.8)[:, None]  # 2 would be the other lid
    middle_before = (before + before[partner]) / 2
    return before + (middle_before - before) * covered
