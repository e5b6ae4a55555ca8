"""Mouths to learn from: portraits whose lips are apart, and portraits whose lips a warp has parted.

The first show what is really behind such lips. In the second, mouths of ICT-FaceKit's and MakeHuman's meshes are
rendered (`mouth_rendering`) in a random light: few portraits have their mouth wide open. The drawn interior lies
nearly where the picture has its teeth (`portraits.fitted`), so that the generator learns to believe it. Colours are
varied later (`augmentation`).

    python -m engines.mouth.data --data DIR
"""

import argparse
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from engines.face_params import mouth_rendering, warping
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.data import lip_gap
from engines.face_params.mouth_mesh import load_mouth
from engines.mouth.makehuman import load_shapes
from engines.mouth.portraits import Drawer, Portrait, cut, fitted, lips, load
from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams
from xpcam.mouth.proxy import CROP, crop_matrix, opening
from xpcam.mouth.showing import seen_in, shape_of, shown_by
from xpcam.mouth.style import LUMA
from xpcam.tracking.crops import transform

Random = np.random.Generator
RENDERED_APART = 0.05  # outer-eye distances between the lips, at least
MISSED = 0.01  # how far the drawing's teeth are from the picture's, as a rule, outer-eye distances


@dataclass(frozen=True, slots=True)
class Sample:
    """One mouth: its `truth` (128, 128, 3), `mask` (128, 128) of the opening and `drawn` (128, 128, 3), uint8; `style`
    (22,); what it `shown` (4,) (`showing.seen_in`); the `shape` (5,) of its lips."""

    truth: Pixels
    mask: Pixels
    drawn: Pixels
    style: Floats
    shown: Floats
    shape: Floats


class MouthMaker:
    """Makes one sample after another.

    Args:
        opened, closed: portraits of these parts.
        data: where the meshes are that mouths are rendered from.
    """

    def __init__(self, opened: list[Portrait], closed: list[Portrait], data: Path, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        self._opened, self._closed = opened, closed
        gaps = lip_gap(np.stack([one.face.landmarks for one in opened]))
        chance = 1.0 + 2.0 * (gaps > 0.1) + 3.0 * (gaps > 0.2)
        self._chance = chance / chance.sum()
        self._pool = np.stack([one.own for one in [*opened, *closed]])
        self._warper = warping.Warper()
        meshes = [load_mouth(data / "ict_facekit.npz")]
        meshes += load_shapes(data / "makehuman_cc0" / "mouth_meshes.npz")
        self._renderers = [mouth_rendering.MouthRenderer(mesh, window=224) for mesh in meshes]

    def photograph(self) -> Sample:
        """A portrait's own mouth, cut somewhere about it, the drawing nearly where the picture has its teeth."""
        rng = self._rng
        portrait = self._opened[int(rng.choice(len(self._opened), p=self._chance))]
        matrix = _about(rng, crop_matrix(portrait.face.landmarks), CROP)
        return finished(self._missed(portrait), portrait.face.landmarks, matrix, cut(portrait, matrix))

    def _missed(self, portrait: Portrait) -> Portrait:
        """The drawing is never quite right."""
        spread = MISSED * (2.5 if self._rng.random() < 0.25 else 1.0)
        upper, jaw = self._rng.normal(0, spread, 2)
        shift = (portrait.shift[0] + upper, portrait.shift[1] + jaw, portrait.shift[2])
        return replace(portrait, shift=shift)

    def rendered(self) -> Sample | None:
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
        renderer = self._renderers[int(rng.integers(len(self._renderers)))]
        mouth_rendering.fill(crop, inner, renderer, place, look, float(rng.uniform(0.8, 2.0)))
        truth = np.asarray(cv2.resize(crop, (CROP, CROP), interpolation=cv2.INTER_AREA))
        halved = np.asarray(matrix / 2, np.float32)
        halved[:, 2] -= 0.25
        pose = fl.fit_pose(warp.after)
        warped = replace(portrait, face=FaceParams(warp.after, pose, 1.0))
        return finished(self._missed(fitted(warped, truth, halved)), warp.after, halved, truth)


def finished(
    portrait: Portrait, landmarks: Floats, matrix: Floats, truth: Pixels, *, told: bool = True
) -> Sample:
    """The sample of a mouth in its crop; it is drawn as one that is `told` what shows, or as the product guesses."""
    mask = opening(lips(landmarks, matrix))
    shape = shape_of(fl.unpose(landmarks, portrait.face.pose, depth=0.0))
    shown = seen_in(truth, mask, float(portrait.style.tooth @ LUMA))
    upper = float(shown[1] if told else shown_by(shape)[1])
    drawn = Drawer(portrait, landmarks).draw(portrait.shift, matrix, mask, upper=upper)
    return Sample(
        truth, np.asarray(mask * 255, np.uint8), drawn.astype(np.uint8), portrait.style.vector(), shown, shape
    )


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
    parser.add_argument("--count", type=int, default=3600, help="photographs, and as many rendered mouths")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    options.output.mkdir(parents=True, exist_ok=True)
    held = load(options.data, "test")
    crops = [crop_matrix(one.face.landmarks) for one in held]
    write(
        options.output / "test.npz",
        [finished(o, o.face.landmarks, m, cut(o, m), told=False) for o, m in zip(held, crops, strict=True)],
    )
    maker = MouthMaker(load(options.data, "open"), load(options.data, "closed"), options.data, options.seed)
    write(options.output / "photographs.npz", [maker.photograph() for _ in tqdm(range(options.count))])
    made = (maker.rendered() for _ in tqdm(range(2 * options.count)))
    write(options.output / "rendered.npz", [one for one in made if one is not None][: options.count])


def write(file: Path, samples: list[Sample]) -> None:
    """Keep samples, stacked."""
    np.savez(
        file, truth=np.stack([one.truth for one in samples]), mask=np.stack([one.mask for one in samples]),
        drawn=np.stack([one.drawn for one in samples]), style=np.stack([one.style for one in samples]),
        shown=np.stack([one.shown for one in samples]), shape=np.stack([one.shape for one in samples]),
    )  # fmt: skip


if __name__ == "__main__":
    main()
