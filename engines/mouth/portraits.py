"""Portraits whose lips are apart, with the drawing of their mouths laid where their pictures have their teeth."""

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.data import TEST_PEOPLE, lip_gap
from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams
from xpcam.mouth.proxy import CHIN, CROP, MouthProxy, crop_matrix, opening
from xpcam.mouth.showing import seen_in
from xpcam.mouth.style import LUMA, Style, style_of
from xpcam.warping.mesh_warp import Box

APART = 0.022  # outer-eye distances between the lips, at least
CLOSED = 1000  # portraits with closed lips that get rendered mouths
SHARPEST = 40.0  # least outer-eye distance in pixels of a portrait that is learned from


@dataclass(frozen=True, slots=True)
class Portrait:
    """One labelled portrait.

    Attributes:
        picture: (H, W, 3) uint8.
        face: landmarks in its pixels.
        own: (51,) blend-shape weights.
        neutral: (478, 3) its frontal face without them.
        style: of its picture.
        shift: how far the upper teeth lie from where `MouthProxy` puts them, how far the jaw from where the chin
            says, outer-eye distances; how far the tongue is out.
    """

    picture: Pixels
    face: FaceParams
    own: Floats
    neutral: Floats
    style: Style
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)


def is_test(file: str, origin: str) -> bool:
    """The fixed test split: three held-out people, and by hash of the name one in five of the other pictures."""
    if file.startswith("opencells"):
        return origin.startswith(TEST_PEOPLE)
    return zlib.crc32(file.encode()) % 5 == 0


def load(folder: Path, part: str) -> list[Portrait]:
    """Portraits of a part: "open" and "test" have the lips apart (the second are never learned from), "closed" not."""
    labels = np.load(folder / "faces_labels.npz", allow_pickle=False)
    landmarks = labels["landmarks"].astype(np.float32) * np.float32(labels["landmarks_scale"])
    apart = lip_gap(landmarks) > APART
    test = np.array([is_test(str(f), str(o)) for f, o in zip(labels["files"], labels["origin"], strict=True)])
    chosen = {"open": apart & ~test, "test": apart & test, "closed": ~apart & ~test}[part]
    rows = [int(row) for row in np.flatnonzero(chosen) if fl.outer_eye_distance(landmarks[row]) > SHARPEST]
    if part == "closed":
        rows = [int(row) for row in np.random.default_rng(5).choice(rows, CLOSED, replace=False)]
    portraits = []
    for row in rows:
        picture = np.asarray(cv2.imread(str(folder / "faces" / str(labels["files"][row]))))
        params = FaceParams(landmarks[row], fl.fit_pose(landmarks[row]), 1.0)
        own = labels["blendshapes"][row, 1:].astype(np.float32)
        moved = np.tensordot(own, fl.face_mesh().basis, axes=1).astype(np.float32)
        neutral = fl.unpose(params.landmarks, params.pose, depth=0.0) - moved
        made = Portrait(picture, params, own, neutral, style_of(picture, params, own_teeth=False))
        if part == "open":
            matrix = crop_matrix(params.landmarks)
            made = fitted(made, cut(made, matrix), matrix)
        portraits.append(made)
    return portraits


class Drawer:
    """Draws the interior that the product would draw for a portrait with (478, 3) `landmarks`."""

    def __init__(self, portrait: Portrait, landmarks: Floats) -> None:
        self._proxy = MouthProxy(portrait.neutral, 0.0, portrait.style)
        self._edge = float(self._proxy.edge[1])
        self._pose = portrait.face.pose
        self._face = fl.unpose(landmarks, self._pose, depth=0.0)

    def draw(
        self,
        shift: tuple[float, float, float],
        matrix: Floats,
        mask: Floats,
        box: Box | None = None,
        upper: float = 0.0,
    ) -> Floats:
        """(128, 128, 3) with teeth, jaw and tongue moved by `shift`, or a `box` of it.

        Args:
            upper: how bright the upper half is told to be.
        """
        teeth, jaw, tongue = shift
        self._proxy.edge[1] = np.float32(self._edge + teeth)
        face = self._face.copy()
        face[list(CHIN), 1] += np.float32(jaw)
        return self._proxy.draw(face, self._pose, matrix, mask, tongue, box, upper)


def lips(landmarks: Floats, matrix: Floats) -> Floats:
    """(20, 2) the inner lips in a crop."""
    return np.asarray(landmarks[list(fl.INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2], np.float32)


def fitted(portrait: Portrait, truth: Pixels, matrix: Floats) -> Portrait:
    """The portrait with teeth, jaw and tongue where a crop `truth` of its picture correlates best with the drawing."""
    landmarks = portrait.face.landmarks
    mask = opening(lips(landmarks, matrix))
    inside = mask > 0.5
    if inside.sum() < 12:
        return portrait
    left, top, width, height = cv2.boundingRect(inside.astype(np.uint8))
    box = (slice(top, top + height), slice(left, left + width))
    inside = inside[box]
    wanted, drawer = _blurred(truth[box])[inside], Drawer(portrait, landmarks)
    upper = float(seen_in(truth, mask, float(portrait.style.tooth @ LUMA))[1])

    def likeness(shift: tuple[float, float, float]) -> float:
        found = _blurred(drawer.draw(shift, matrix, mask, box, upper).astype(np.uint8))[inside]
        return float(np.corrcoef(wanted, found)[0, 1]) if found.std() > 0.5 and wanted.std() > 0.5 else -1.0

    best = (0.0, 0.0, 0.0)
    for axis, steps in (
        (0, (-0.06, -0.04, -0.02, 0.02, 0.04, 0.06)),
        (1, (-0.05, 0.05)),
        (2, (1.0,)),
    ):
        tries = [best]
        for step in steps:
            moved = list(best)
            moved[axis] += float(step)
            tries.append((moved[0], moved[1], moved[2]))
        best = max(tries, key=likeness)
    return replace(portrait, shift=best)


def _blurred(crop: Pixels) -> Floats:
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), (0, 0), 2.0), np.float32)


def cut(portrait: Portrait, matrix: Floats) -> Pixels:
    """(128, 128, 3) a portrait's mouth."""
    return np.asarray(cv2.warpAffine(portrait.picture, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE))
