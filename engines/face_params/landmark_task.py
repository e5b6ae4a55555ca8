"""What is particular to training the landmark network: its data, its loss, how it is judged and shown."""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from engines.face_params import data, losses, warm_start
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.evaluate import MEASURES, expression, judge, load_clips
from engines.face_params.network import LandmarkNet
from engines.face_params.shards import Shards
from engines.face_params.train import imagenet_file, prepare, sheet

HELD = 256  # held-out crops that each judgement looks at


def predictor(twin: nn.Module, device: torch.device) -> Any:
    """`evaluate.Predict` of a landmark network, in full precision."""

    @torch.no_grad()
    def predict(crops: Pixels) -> tuple[Floats, Floats]:
        landmarks, _, logit = twin(prepare(torch.from_numpy(crops), device))
        return landmarks.cpu().numpy(), logit.sigmoid().cpu().numpy()

    return predict


def with_dots(crops: Pixels, *shapes: tuple[Floats, tuple[int, int, int]]) -> Pixels:
    drawn = crops.copy()
    for landmarks, colour in shapes:
        for image, points in zip(drawn, landmarks, strict=True):
            for x, y in points[:, :2]:
                cv2.circle(image, (round(float(x)), round(float(y))), 0, colour, -1)
    return drawn


class LandmarkTask:
    """What is particular to the landmark network: data, loss, judgement, pictures."""

    def __init__(self, options: argparse.Namespace, device: torch.device, rank: int) -> None:
        train, test = data.load(options.data)
        self.mean = torch.from_numpy(data.mean_crop_shape(train))
        self.whole, self.start = options.whole, options.start
        shards = Shards(options.shards) if options.shards else None
        self.stream = data.CropStream(train, options.batch, options.seed + 100 * rank, shards)
        spreads = losses.pair_spreads(train.landmarks, train.people) * np.float32(options.unit)
        self.loss = losses.LandmarkLoss(spreads).to(device)
        self.only_mouth = options.only_mouth
        self.clips = load_clips(options.clips) if options.clips else None
        maker = data.CropMaker(
            test, seed=12345, negatives=0.0, shards=Shards([options.held]) if options.held else None
        )
        held = [sample for _ in range(HELD // 2) for sample in maker.twins()]
        self.crops, self.truth = np.stack([h[0] for h in held]), np.stack([h[1] for h in held])
        self.device = device
        self.predictor = predictor

    def network(self, pretrained: bool) -> nn.Module:
        network = LandmarkNet(self.mean)
        if pretrained and not self.start:
            network.backbone.load_imagenet(imagenet_file())
        network.backbone.freeze_early()
        if pretrained and self.start:
            warm_start.load_folded(network, self.start)
            warm_start.measure_norms(network, torch.from_numpy(self.crops).permute(0, 3, 1, 2).float())
        if self.only_mouth:
            network.requires_grad_(False)
            network.mouth.requires_grad_(True)
        return network

    def teach(self, network: nn.Module) -> None:
        """Put what is to be learned into training mode; batch norms of the rest keep their statistics."""
        network.train(not self.only_mouth)
        if self.only_mouth:
            network.mouth.train()

    def step(self, network: nn.Module, batch: list[Tensor]) -> dict[str, Tensor]:
        images, truth, face = (part.to(self.device) for part in batch)
        guess = losses.rough_guess(self.mean, truth[self.whole :]) if self.whole < len(images) else None
        with torch.autocast(self.device.type, torch.bfloat16):
            output = network(prepare(images, self.device), guess)
        return self.loss(output, truth, face)

    def judge(self, predict: Any, out: Path) -> dict[str, float]:
        landmarks, confidence = predict(self.crops)
        span = np.linalg.norm(self.truth[:, 263] - self.truth[:, 33], axis=1)[:, None]
        error = np.linalg.norm((landmarks - self.truth)[..., :2], axis=2) / span
        row = {"held_error": float(error.mean()) * 100, "held_confidence": float(confidence.mean())}
        for name, found, wanted in zip(MEASURES, expression(landmarks), expression(self.truth), strict=True):
            row[f"held_{name}"] = float(
                np.corrcoef(found[::2] - found[1::2], wanted[::2] - wanted[1::2])[0, 1]
            )
        shown = with_dots(self.crops[:32], (self.truth[:32], (0, 255, 0)), (landmarks[:32], (0, 0, 255)))
        cv2.imwrite(str(out / "predictions.png"), sheet(shown))
        if self.clips:
            row |= judge(predict, *self.clips)
        return row
