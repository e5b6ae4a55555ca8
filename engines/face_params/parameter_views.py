"""What the parameters are learned from: faces as the frozen landmark network sees them, computed once.

Each portrait gives four views: two crops (as it is or with another expression warped onto it), each seen through two
webcams. Rendered heads, whose every parameter is known, give two views each, twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from engines.face_params import augmentation, face_free, warping
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.data import Portraits, random_crop
from engines.face_params.network import LandmarkNet
from engines.face_params.opened_mouths import OpenedMouths
from engines.face_params.parameter_losses import DRAWN, Batch
from engines.face_params.parametric_face import Parameters
from engines.face_params.shards import Shards
from xpcam.face import landmarks as fl
from xpcam.face.model import ARKIT, face_model, normals, shading
from xpcam.tracking.crops import CROP, transform
from xpcam.warping.mesh_warp import MeshRasteriser

Random = np.random.Generator
TOGETHER = 32  # views that go through the landmark network at a time


@dataclass(frozen=True, slots=True)
class Sample:
    """One crop before the webcam.

    Attributes:
        crop: (256, 256, 3) uint8 BGR.
        landmarks: (478, 3) crop pixels.
        scores: (52,) ARKit weights, NaN where nobody knows.
        truth: (80 + 52 + 80 + 27,) what a rendered head was made of, else None.
    """

    crop: Pixels
    landmarks: Floats
    scores: Floats
    truth: Floats | None = None


class CropMaker:
    """Cuts a portrait's face as a tracker would, as it is or with another expression."""

    def __init__(self, data: Portraits, rng: Random) -> None:
        self._data, self._rng = data, rng
        self._warper, self._mouths = warping.Warper(), OpenedMouths(data.mouth)
        self._mirror = fl.face_mesh().mirror
        names = fl.face_mesh().blendshape_names
        self._partner = [names.index(mirrored_name(name)) for name in names]

    def pairs(self, count: int, warped: bool, calm: bool = False) -> Iterator[tuple[Sample, Sample]]:
        """Two crops of each of `count` portraits, every portrait as often as needed; warped calmly or in any way."""
        order = self._rng.permutation(np.arange(count) % len(self._data.pictures))
        for index in order:
            mirror = bool(self._rng.random() < 0.5)
            yield self._crop(int(index), warped, mirror, calm), self._crop(int(index), warped, mirror, calm)

    def _crop(self, index: int, warped: bool, mirror: bool, calm: bool) -> Sample:
        rng, data = self._rng, self._data
        picture, landmarks, scores = data.pictures[index], data.landmarks[index], data.scores[index]
        if warped:
            warp = warping.random_warp(rng, landmarks, scores, data.scores, calm)
            matrix = random_crop(rng, warp.after, mirror)
            crop = self._warper.render(picture, warp, matrix, cv2.BORDER_REPLICATE)
            self._mouths.fill(rng, crop, warp, scores, matrix)
            landmarks, scores = transform(warp.after, matrix), warp.scores
        else:
            matrix = random_crop(rng, landmarks, mirror)
            crop = np.asarray(cv2.warpAffine(picture, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE))
            landmarks = transform(landmarks, matrix)
        if mirror:
            landmarks, scores = landmarks[self._mirror], scores[self._partner]
        return Sample(crop, landmarks, named(scores))


def taught(shards: Shards, rng: Random, count: int) -> Iterator[tuple[Sample, Sample]]:
    """`count` pairs of warped portraits that the teacher has labelled."""
    for number in rng.permutation(len(shards) // 2)[:count]:
        yield shards_sample(shards, 2 * int(number)), shards_sample(shards, 2 * int(number) + 1)


def shards_sample(shards: Shards, index: int) -> Sample:
    return Sample(shards.crop(index), shards.landmarks[index], shards.scores[index])


def mirrored_name(name: str) -> str:
    """The blend shape of the other side."""
    if "Left" in name:
        return name.replace("Left", "Right")
    return name.replace("Right", "Left")


def named(scores: Floats) -> Floats:
    """(51,) weights in the landmark mesh's order -> (52,) in ARKit's, NaN for what the teacher does not know."""
    own = {name: float(score) for name, score in zip(fl.face_mesh().blendshape_names, scores, strict=True)}
    return np.array([own.get(name, np.nan) for name in ARKIT], np.float32)


class HeadMaker:
    """Renders random heads, whose every parameter is known, in front of pieces of pictures."""

    def __init__(self, data: Portraits, rng: Random) -> None:
        self._data, self._rng, self._model = data, rng, face_model()
        self._raster = MeshRasteriser(self._model.triangles, (CROP, CROP))

    def pairs(self, count: int) -> Iterator[tuple[Sample, Sample]]:
        """`count` heads, each with two expressions, poses and lights."""
        for _ in range(count):
            same = (self._rng.standard_normal(160) * 0.8).astype(np.float32)
            yield self._head(same), self._head(same)

    def _head(self, same: Floats) -> Sample:
        rng, model = self._rng, self._model
        own = np.nan_to_num(named(self._data.scores[rng.integers(len(self._data.scores))]))
        expression: Floats = np.clip(own * np.float32(rng.uniform(0.5, 1.2)), 0, 1)
        few = rng.choice(52, 4, replace=False)
        expression[few] = rng.uniform(0, 1, 4) * (rng.random(4) < 0.7)
        lighting = random_light(rng)
        vertices = model.shape(same[:80], expression)
        rotation, scale, shift = random_placing(rng)
        placed = vertices @ rotation.T * scale + shift
        turned = normals(vertices, model.triangles) @ rotation.T
        colour = np.clip(model.colours(same[80:]) * shading(turned, lighting), 0, 1)
        drawn = self._raster.draw(placed[:, :2], colour, placed[:, 2])
        mask = cv2.GaussianBlur((drawn.max(axis=2) > 0).astype(np.float32), (3, 3), 0)[..., None]
        behind = background(rng, self._data)
        crop = behind + (drawn * 255 - behind) * mask
        landmarks = model.landmarks(vertices) @ rotation.T * scale + shift
        truth = np.concatenate([same[:80], expression, same[80:], lighting.ravel()])
        return Sample(
            crop.astype(np.uint8), landmarks.astype(np.float32), expression, truth.astype(np.float32)
        )


def background(rng: Random, data: Portraits) -> Pixels:
    """A piece of some picture, out of focus, or a texture."""
    if rng.random() < 0.3:
        return face_free.texture(rng, CROP)
    picture = data.pictures[rng.integers(len(data.pictures))]
    side = min(picture.shape[:2]) // 3
    corner = cv2.resize(picture[:side, :side], (CROP, CROP), interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.GaussianBlur(corner, (0, 0), 4.0))


def random_light(rng: Random) -> Floats:
    """(9, 3) spherical harmonics: a fair amount from everywhere, more from somewhere in front, nearly white."""
    toward = rng.standard_normal(3) * (1, 0.7, 0.7) + (
        0,
        -0.3,
        -0.8,
    )  # y down, z away: from above and the camera
    toward /= np.linalg.norm(toward)
    strength = rng.uniform(0.0, 0.5)
    level = rng.uniform(0.6, 1.1) - 0.4 * strength
    grey = np.zeros(9)
    grey[0] = level
    grey[1:4] = strength * toward[[1, 2, 0]]
    grey[4:] = rng.normal(0, 0.03, 5)
    return np.asarray(grey[:, None] * np.exp(rng.normal(0, 0.06, 3)), np.float32)


def moved(rng: Random, sample: Sample) -> Sample:
    """The same face as a tracker might cut it out another time: turned, scaled and shifted a little."""
    angle, zoom = rng.normal(0, 4), float(np.exp(rng.normal(0, 0.04)))
    matrix = cv2.getRotationMatrix2D(((CROP - 1) / 2, (CROP - 1) / 2), angle, zoom).astype(np.float32)
    matrix[:, 2] += rng.normal(0, 4, 2)
    crop = cv2.warpAffine(sample.crop, matrix, (CROP, CROP), borderMode=cv2.BORDER_REPLICATE)
    return replace(sample, crop=np.asarray(crop), landmarks=transform(sample.landmarks, matrix))


def seen_by_webcam(rng: Random, sample: Sample) -> Pixels:
    """A rendered head keeps its colours: its light is known."""
    if sample.truth is None:
        return augmentation.webcam(rng, sample.crop)
    return augmentation.through_camera(rng, sample.crop)


def random_placing(rng: Random) -> tuple[Floats, float, Floats]:
    """Rotation (3, 3), pixels a unit and shift (3,) that put a head about where a tracker's crop has it."""
    rotation = np.asarray(cv2.Rodrigues(rng.normal(0, (0.18, 0.28, 0.06)))[0], np.float32)
    shift = np.array([CROP / 2, CROP * 0.40, 0]) + rng.normal(0, 5, 3)
    return rotation, float(rng.normal(0.36, 0.02)) * CROP, shift.astype(np.float32)


def split(rows: Tensor) -> Parameters:
    """(B, 239) -> its groups."""
    identity, expression, texture, lighting = rows.split([80, 52, 80, 27], dim=1)
    return Parameters(identity, expression, texture, lighting.reshape(-1, 9, 3))


@dataclass(frozen=True, slots=True)
class Views:
    """N views; see `Batch`, whose fields these are, in smaller types. `truth` is NaN where it is not known."""

    near: Tensor
    far: Tensor
    seen: Tensor
    landmarks: Tensor
    picture: Tensor
    scores: Tensor
    truth: Tensor

    def __len__(self) -> int:
        return len(self.seen)

    def batch(self, quads: Tensor, device: torch.device) -> Batch:
        """The views of some portraits (Q,) as a batch of 4 Q."""
        rows = (quads[:, None] * 4 + torch.arange(4)).flatten()
        near, far, seen, landmarks, picture, scores, truth = (
            getattr(self, f.name)[rows].to(device).float() for f in fields(self)
        )
        known = torch.isfinite(truth[:, 0])
        return Batch(near, far, seen, landmarks, picture / 255, scores, known, split(truth.nan_to_num()))


class Looker:
    """Shows crops to the frozen landmark network."""

    def __init__(self, network: LandmarkNet) -> None:
        self._network = network.eval()

    @torch.no_grad()
    def look(self, crops: Pixels) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 256, 256, 3) -> maps (half precision) and landmarks."""
        image = (
            torch.from_numpy(crops).permute(0, 3, 1, 2).float().contiguous(memory_format=torch.channels_last)
        )
        near, far, _, coarse, _ = self._network.look(image)
        return near.half(), far.half(), self._network.refine(image, coarse)


def watch(
    network: LandmarkNet, pairs: Iterator[tuple[Sample, Sample]], total: int, rng: Random, title: str
) -> Views:
    """Each sample through two webcams and the landmark network: 4 views a pair, in order."""
    looker = Looker(network)
    parts: list[list[Tensor]] = []
    waiting: list[tuple[Sample, Pixels]] = []

    def flush() -> None:
        crops = np.stack([crop for _, crop in waiting])
        near, far, seen = looker.look(crops)
        small = np.stack([cv2.resize(c, (DRAWN, DRAWN), interpolation=cv2.INTER_AREA) for c in crops])
        nothing = np.full(239, np.nan, np.float32)
        rows = [
            near, far, seen,
            torch.from_numpy(np.stack([s.landmarks for s, _ in waiting])),
            torch.from_numpy(small),
            torch.from_numpy(np.stack([s.scores for s, _ in waiting])),
            torch.from_numpy(np.stack([nothing if s.truth is None else s.truth for s, _ in waiting])),
        ]  # fmt: skip
        parts.append(rows)
        waiting.clear()

    for pair in tqdm(pairs, total=total, desc=title, unit="portrait", dynamic_ncols=True):
        for sample in pair:
            waiting.extend((view, seen_by_webcam(rng, view)) for view in (sample, moved(rng, sample)))
        if len(waiting) >= TOGETHER:
            flush()
    if waiting:
        flush()
    return Views(*(torch.cat([part[i] for part in parts]) for i in range(7)))


def join(*views: Views) -> Views:
    return Views(*(torch.cat([getattr(v, f.name) for v in views]) for f in fields(Views)))
