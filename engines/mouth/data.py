"""Mouths to learn from: portraits whose lips are apart, and portraits whose lips a warp has parted.

The first show what is really behind such lips. Their drawn interior is fitted to them (`fitted`), so that the
generator learns to believe it. In the second, mouths of another mesh are rendered (`mouth_rendering`) in a random
light: few portraits have their mouth wide open. Each sample is a crop before and after its interior was taken
away; colours are varied later (`augmentation`).

    python -m engines.mouth.data --data DIR
"""

import argparse
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from engines.face_params import mouth_rendering, warping
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.data import TEST_PEOPLE, lip_gap
from engines.face_params.mouth_mesh import load_mouth
from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams
from xpcam.mouth.engine import planes
from xpcam.mouth.proxy import CHIN, CROP, MouthProxy, crop_matrix, opening
from xpcam.mouth.style import Style, style_of
from xpcam.tracking.crops import transform

Random = np.random.Generator
APART, RENDERED_APART = 0.022, 0.05  # outer-eye distances between the lips, at least
CLOSED = 700  # portraits with closed lips that get rendered mouths
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
        portraits.append(fitted(made) if part == "open" else made)
    return portraits


def draw(portrait: Portrait, landmarks: Floats, matrix: Floats, mask: Floats) -> Floats:
    """(128, 128, 3) the interior that the product would draw for a portrait with (478, 3) `landmarks`."""
    proxy = MouthProxy(portrait.neutral, 0.0, portrait.style)
    upper, jaw, tongue = portrait.shift
    proxy.edge[1] += upper
    face = fl.unpose(landmarks, portrait.face.pose, depth=0.0)
    face[list(CHIN), 1] += np.float32(jaw)
    return proxy.draw(face, portrait.face.pose, matrix, mask, tongue)


def lips(landmarks: Floats, matrix: Floats) -> Floats:
    """(20, 2) the inner lips in a crop."""
    return np.asarray(landmarks[list(fl.INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2], np.float32)


def fitted(portrait: Portrait) -> Portrait:
    """The portrait with teeth, jaw and tongue where its picture correlates best with what is drawn."""
    landmarks = portrait.face.landmarks
    matrix = crop_matrix(landmarks)
    mask = opening(lips(landmarks, matrix))
    inside = mask > 0
    truth = _blurred(cv2.warpAffine(portrait.picture, matrix, (CROP, CROP)))[inside]

    def likeness(shift: tuple[float, float, float]) -> float:
        one = Portrait(portrait.picture, portrait.face, portrait.own, portrait.neutral, portrait.style, shift)
        drawn = _blurred(draw(one, landmarks, matrix, mask).astype(np.uint8))[inside]
        return float(np.corrcoef(truth, drawn)[0, 1]) if drawn.std() > 0.5 and truth.std() > 0.5 else -1.0

    best = (0.0, 0.0, 0.0)
    for axis, steps in (
        (0, np.linspace(-0.07, 0.07, 8)),
        (1, (-0.06, 0.06)),
        (2, (0.6, 1.0)),
        (0, (-0.01, 0.01)),
    ):
        tries = [best]
        for step in steps:
            moved = list(best)
            moved[axis] += float(step)
            tries.append((moved[0], moved[1], moved[2]))
        best = max(tries, key=likeness)
    return Portrait(portrait.picture, portrait.face, portrait.own, portrait.neutral, portrait.style, best)


def _blurred(crop: Pixels) -> Floats:
    return np.asarray(cv2.GaussianBlur(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY), (0, 0), 2.0), np.float32)


@dataclass(frozen=True, slots=True)
class Sample:
    """`planes` (128, 128, 7) of the engine and their `truth` (128, 128, 3), uint8; `style` (22,); whether the mouth is
    the portrait's `own`, not rendered."""

    planes: Pixels
    truth: Pixels
    style: Floats
    own: bool


class MouthMaker:
    """Makes one sample after another.

    Args:
        opened, closed: portraits of these parts.
        rendered: share of rendered mouths.
        mesh: ict_facekit.npz, where mouths are rendered from.
    """

    def __init__(
        self, opened: list[Portrait], closed: list[Portrait], rendered: float, mesh: Path, seed: int
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self._opened, self._closed, self._rendered = opened, closed, rendered
        gaps = lip_gap(np.stack([one.face.landmarks for one in opened]))
        chance = 1.0 + 2.0 * (gaps > 0.1) + 3.0 * (gaps > 0.2)
        self._chance = chance / chance.sum()
        self._pool = np.stack([one.own for one in [*opened, *closed]])
        self._warper = warping.Warper()
        self._renderer = mouth_rendering.MouthRenderer(load_mouth(mesh), window=224)

    def sample(self) -> Sample:
        """A rendered mouth or a portrait's own."""
        made = self._render() if self._rng.random() < self._rendered else None
        return made or self.photograph(int(self._rng.choice(len(self._opened), p=self._chance)), True)

    def photograph(self, index: int, moved: bool) -> Sample:
        """A portrait's own mouth; if `moved`, cut at another place and stretched a little."""
        portrait = self._opened[index]
        matrix = crop_matrix(portrait.face.landmarks)
        if moved:
            matrix = _about(self._rng, matrix, CROP)
        truth = cv2.warpAffine(portrait.picture, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
        return _finished(portrait, portrait.face.landmarks, matrix, np.asarray(truth), own=True)

    def _render(self) -> Sample | None:
        """A closed mouth that a warp has opened, with a rendered interior; None where it stayed closed."""
        rng = self._rng
        portrait = self._closed[int(rng.integers(len(self._closed)))]
        before = portrait.face.landmarks
        warp = warping.random_warp(rng, before, portrait.own, self._pool)
        if lip_gap(warp.after[None])[0] < RENDERED_APART:
            return None
        matrix = _about(rng, crop_matrix(warp.after, 2 * CROP), 2 * CROP)
        crop = self._warper.render(portrait.picture, warp, matrix, cv2.BORDER_REPLICATE)
        place = mouth_rendering.place_mouth(rng, warp, portrait.own, matrix)
        light = float(np.clip(portrait.style.skin.mean() / 160, 0.1, 1.0))
        look = mouth_rendering.random_look(rng, light, portrait.style.lip)
        inner = transform(warp.after, matrix)[list(fl.INNER_LIPS), :2]
        mouth_rendering.fill(crop, inner, self._renderer, place, look, float(rng.uniform(0.8, 2.0)))
        truth = np.asarray(cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA))
        halved = np.asarray(matrix / 2, np.float32)
        halved[:, 2] -= 0.25
        return _finished(portrait, warp.after, halved, truth, own=False)


def _finished(portrait: Portrait, landmarks: Floats, matrix: Floats, truth: Pixels, *, own: bool) -> Sample:
    mask = opening(lips(landmarks, matrix))
    drawn = draw(portrait, landmarks, matrix, mask)
    return Sample(planes(truth, mask, drawn), truth, portrait.style.vector(), own)


def _about(rng: Random, matrix: Floats, size: int) -> Floats:
    """A crop's matrix, turned, stretched, moved and mirrored a little at random, about its middle."""
    angle, flip = np.radians(rng.normal(0, 5)), 1.0 if rng.random() < 0.5 else -1.0
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    scale = np.exp(rng.normal(0, 0.07, 2)) * np.exp(rng.normal(0.0, 0.06))
    linear = turn @ np.diag(scale * (flip, 1.0))
    middle = np.full(2, (size - 1) / 2)
    shift = linear @ (matrix[:, 2] - middle) + middle + rng.normal(0, 0.02 * size, 2)
    return np.asarray(np.column_stack([linear @ matrix[:, :2], shift]), np.float32)


def main() -> None:
    """Write samples for `train` and `evaluate`."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with faces/, faces_labels.npz, ict_facekit.npz"
    )
    parser.add_argument("--output", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--count", type=int, default=4200)
    parser.add_argument("--rendered", type=float, default=0.3, help="share of rendered mouths")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    opened, closed = load(options.data, "open"), load(options.data, "closed")
    maker = MouthMaker(opened, closed, options.rendered, options.data / "ict_facekit.npz", options.seed)
    write(options.output / "train.npz", [maker.sample() for _ in tqdm(range(options.count))])
    held = load(options.data, "test")
    maker = MouthMaker(held, closed, 0.0, options.data / "ict_facekit.npz", options.seed)
    write(options.output / "test.npz", [maker.photograph(index, False) for index in range(len(held))])


def write(file: Path, samples: list[Sample]) -> None:
    """Keep samples, stacked."""
    np.savez(
        file,
        planes=np.stack([one.planes for one in samples]),
        truth=np.stack([one.truth for one in samples]),
        style=np.stack([one.style for one in samples]),
        own=np.array([one.own for one in samples]),
    )


if __name__ == "__main__":
    main()
