"""Scenes for the detector: portraits of any size put into face-free surroundings, and the training task."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import IterableDataset, get_worker_info

from engines.face_params import augmentation, data, face_free
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.network import DetectorNet
from xpcam.face import landmarks as fl
from xpcam.tracking.crops import face_square

Random = np.random.Generator
SIDE, STRIDE = 320, 8  # of the network's picture and of its cells, pixels
CELLS = SIDE // STRIDE
SMALLEST, LARGEST = 12.0, 290.0  # longer side of a face's landmark box, pixels


class SceneMaker:
    """Makes (320, 320, 3) scenes with the faces in them."""

    def __init__(self, portraits: data.Portraits, seed: int) -> None:
        self._data, self._rng = portraits, np.random.default_rng(seed)

    def background(self) -> Pixels:
        rng = self._rng
        if rng.random() < 0.3:
            return face_free.texture(rng, SIDE)
        index = int(rng.integers(len(self._data.pictures)))
        picture, landmarks = self._data.pictures[index], self._data.landmarks[index]
        picture = face_free.destroyed(rng, picture, landmarks)
        height, width = picture.shape[:2]
        zoom = SIDE / min(height, width) * float(np.exp(rng.uniform(-0.2, 0.8)))
        at = rng.uniform(0, (max(zoom * width - SIDE, 1), max(zoom * height - SIDE, 1)))
        matrix = np.array([[zoom, 0, -at[0]], [0, zoom, -at[1]]])
        if rng.random() < 0.25:
            matrix = np.array([[-zoom, 0, at[0] + SIDE], [0, -zoom, at[1] + SIDE]])  # upside down
        return cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT_101)

    def put(self, scene: Pixels, size: float, at: np.ndarray) -> Floats:
        """Put a portrait whose face is `size` pixels at `at` (2,) into the scene; centre x, y, side, roll."""
        rng = self._rng
        index = int(rng.integers(len(self._data.pictures)))
        picture, landmarks = self._data.pictures[index], self._data.landmarks[index]
        if rng.random() < 0.5:
            picture = cv2.flip(picture, 1)
            landmarks = landmarks * (-1.0, 1.0, 1.0) + (picture.shape[1] - 1.0, 0.0, 0.0)
            landmarks = landmarks[self.mirror].astype(np.float32)
        centre, side, roll = face_square(landmarks)
        zoom = size / side
        turn = float(np.clip(rng.normal(0, 0.22), -0.6, 0.6))
        cosine, sine = np.cos(turn) * zoom, np.sin(turn) * zoom
        linear = np.array([[cosine, -sine], [sine, cosine]])
        matrix = np.concatenate([linear, (at - linear @ centre)[:, None]], axis=1)
        if zoom < 0.5:  # shrink by area first, or small faces alias
            share = max(zoom * 1.6, 0.05)
            small = cv2.resize(picture, None, fx=share, fy=share, interpolation=cv2.INTER_AREA)
            scale = np.array([small.shape[1] / picture.shape[1], small.shape[0] / picture.shape[0]])
            matrix = np.concatenate([matrix[:, :2] / scale, matrix[:, 2:]], axis=1)
            picture = small
        placed = cv2.warpAffine(picture, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
        mask = self.mask(picture, matrix, at, size)
        scene[:] = (scene + (placed.astype(np.float32) - scene) * mask[..., None]).astype(np.uint8)
        return np.array([*at, size, roll + turn], np.float32)

    mirror = fl.face_mesh().mirror

    def mask(self, picture: Pixels, matrix: np.ndarray, at: np.ndarray, size: float) -> Floats:
        """Where the portrait covers the scene: its whole rectangle, or head and shoulders cut out softly."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.6:
            whole = np.full(picture.shape[:2], 1.0, np.float32)
            mask = cv2.warpAffine(whole, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
            return cv2.GaussianBlur(mask, (0, 0), rng.uniform(0.5, 3)) if rng.random() < 0.5 else mask
        mask = np.zeros((SIDE, SIDE), np.float32)
        middle = (int(at[0]), int(at[1] - size * 0.08))
        cv2.ellipse(mask, middle, (int(size * 0.68), int(size * 0.82)), 0, 0, 360, 1.0, -1)
        body = (int(at[0]), int(at[1] + size * 1.6))
        cv2.ellipse(mask, body, (int(size * 1.1), int(size * 1.0)), 0, 0, 360, 1.0, -1)
        return cv2.GaussianBlur(mask, (0, 0), size * 0.05 + 0.5)

    def scene(self) -> tuple[Pixels, Floats]:
        """(320, 320, 3) picture and (F, 4) faces: centre x, y, side in pixels, roll in radians."""
        rng = self._rng
        scene = np.ascontiguousarray(self.background())
        count = int(rng.choice(3, p=(0.22, 0.58, 0.2)))
        faces: list[Floats] = []
        for _ in range(count):
            largest = LARGEST if count == 1 else 110.0
            size = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(largest))))
            low = min(size * 0.45, SIDE / 2)
            at = rng.uniform(low, SIDE - low, 2) if size < 280 else rng.normal(SIDE / 2, 8, 2)
            if any(np.linalg.norm(at - face[:2]) < 1.3 * (size + face[2]) for face in faces):
                continue
            faces.append(self.put(scene, size, at))
        if rng.random() < 0.5:  # the rest of a letterboxed frame
            bar = int(rng.choice((140, 80, 20, 0)))
            reach = max([SIDE - bar, *(int(face[1] + face[2] * 0.7) for face in faces)])
            scene[reach:] = 0
        scene = augmentation.recolour(rng, scene) if rng.random() < 0.8 else scene
        if rng.random() < 0.2:
            scene = augmentation.blur(rng, scene)
        if rng.random() < 0.5:
            quality = int(rng.uniform(30, 95))
            encoded = cv2.imencode(".jpg", scene, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
            scene = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
        return scene, np.stack(faces) if faces else np.zeros((0, 4), np.float32)


def targets(faces: Floats) -> tuple[Floats, Floats]:
    """Score map (40, 40) with a Gaussian at each face (Zhou et al., Objects as Points, 2019), geometry (5, 40, 40)."""
    score = np.zeros((CELLS, CELLS), np.float32)
    geometry = np.zeros((5, CELLS, CELLS), np.float32)
    rows, columns = np.mgrid[:CELLS, :CELLS].astype(np.float32)
    for x, y, side, roll in faces:
        across, along = (x + 0.5) / STRIDE - 0.5 - columns, (y + 0.5) / STRIDE - 0.5 - rows
        reach = max(0.7, side / STRIDE * 0.1)
        bump = np.exp(-(across**2 + along**2) / (2 * reach**2))
        bump[
            int(np.clip((y + 0.5) / STRIDE, 0, CELLS - 1)), int(np.clip((x + 0.5) / STRIDE, 0, CELLS - 1))
        ] = 1.0
        nearest = bump > score
        constant = np.broadcast_to(
            np.array([np.log(side / 32), np.sin(roll), np.cos(roll)])[:, None, None], (3, CELLS, CELLS)
        )
        values = np.concatenate([np.stack([across, along]), constant])
        geometry[:, nearest] = values[:, nearest]
        score = np.maximum(score, bump)
    return score, geometry


class SceneStream(IterableDataset):
    """Batches without end: pictures (B, 320, 320, 3) uint8, scores (B, 40, 40), geometry (B, 5, 40, 40)."""

    def __init__(self, portraits: data.Portraits, batch: int, seed: int) -> None:
        super().__init__()
        self._portraits, self._batch, self._seed = portraits, batch, seed

    def seed_again(self, seed: int) -> None:
        """Draw other scenes from here on."""
        self._seed = seed

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        cv2.setNumThreads(1)
        worker = get_worker_info()
        maker = SceneMaker(self._portraits, self._seed * 1000 + (worker.id if worker else 0))
        while True:
            scenes = [maker.scene() for _ in range(self._batch)]
            goals = [targets(faces) for _, faces in scenes]
            yield (
                torch.from_numpy(np.stack([picture for picture, _ in scenes])),
                torch.from_numpy(np.stack([score for score, _ in goals])),
                torch.from_numpy(np.stack([geometry for _, geometry in goals])),
            )


class DetectorTask:
    """What is particular to the detector: data, loss, judgement."""

    def __init__(self, options: argparse.Namespace, device: torch.device, rank: int) -> None:
        train, test = data.load(options.data)
        self.stream = SceneStream(train, options.batch, options.seed + 100 * rank)
        maker = SceneMaker(test, seed=54321)
        held = [maker.scene() for _ in range(128)]
        self.pictures, self.faces = np.stack([h[0] for h in held]), [h[1] for h in held]
        self.device = device
        self.predictor = detector_predictor

    def network(self, pretrained: bool) -> nn.Module:
        del pretrained  # it learns from nothing
        return DetectorNet()

    def teach(self, network: nn.Module) -> None:
        network.train()

    def step(self, network: nn.Module, batch: list[Tensor]) -> dict[str, Tensor]:
        pictures, score, geometry = (part.to(self.device) for part in batch)
        with torch.autocast(self.device.type, torch.bfloat16):
            logits, found = network(pictures.permute(0, 3, 1, 2).float())
        logits = logits[:, 0]
        near = (score > 0.45).float() * score
        faces = (score == 1.0).sum().clamp(min=1)
        parts = {
            "score": focal(logits, score) / faces,
            "geometry": ((found - geometry).abs().mean(1) * near).sum() / near.sum().clamp(min=1.0) * 2,
        }
        parts["total"] = parts["score"] + parts["geometry"]
        return parts

    def judge(self, predict: Any, out: Path) -> dict[str, float]:
        scores, geometry = predict(self.pictures)
        right = faces = wrong = 0
        for score, maps, truth in zip(scores, geometry, self.faces, strict=True):
            peak = (score > 0.4) & (score == cv2.dilate(score, np.ones((3, 3), np.uint8)))
            rows, columns = np.nonzero(peak)
            x, y = ((np.stack([columns, rows]) + maps[:2, rows, columns] + 0.5) * STRIDE) - 0.5
            side = np.exp(maps[2, rows, columns]) * 32
            found = np.stack([x, y], axis=1)
            hit = [np.linalg.norm(found - f[:2], axis=1) < 0.2 * f[2] for f in truth]
            sized = [abs(np.log(side / f[2])) < 0.3 for f in truth]
            right += sum(bool((h & s).any()) for h, s in zip(hit, sized, strict=True))
            faces += len(truth)
            wrong += int((~np.any(hit, axis=0)).sum()) if hit else len(found)
        cv2.imwrite(
            str(out / "scenes.png"),
            np.vstack([np.hstack(list(self.pictures[i : i + 8])) for i in (0, 8, 16)]),
        )
        return {"recall": right / faces, "false_per_scene": wrong / len(self.faces)}


def focal(logits: Tensor, score: Tensor) -> Tensor:
    """Penalty-reduced focal loss on a Gaussian score map (Law and Deng, CornerNet, ECCV 2018), summed."""
    chance = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    at_face = (score == 1.0).float()
    hit = (1 - chance).square() * F.logsigmoid(logits) * at_face
    miss = (1 - score).pow(4) * chance.square() * F.logsigmoid(-logits) * (1 - at_face)
    return -(hit + miss).sum()


def detector_predictor(twin: nn.Module, device: torch.device) -> Any:
    """Pictures (B, 320, 320, 3) -> scores (B, 40, 40) in 0..1, geometry (B, 5, 40, 40)."""

    @torch.no_grad()
    def predict(pictures: Pixels) -> tuple[Floats, Floats]:
        scores, maps = [], []
        for start in range(0, len(pictures), 16):
            batch = torch.from_numpy(pictures[start : start + 16]).to(device).permute(0, 3, 1, 2).float()
            logits, geometry = twin(batch)
            scores.append(logits[:, 0].sigmoid().cpu().numpy())
            maps.append(geometry.cpu().numpy())
        return np.concatenate(scores), np.concatenate(maps)

    return predict
