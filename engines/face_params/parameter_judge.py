"""How good a reconstruction is: its landmarks, its colours and its blend shapes, beside those of a mean face."""

import torch
from torch import Tensor, nn

from engines.face_params.losses import eye_span
from engines.face_params.parameter_losses import DRAWN, Batch, ParameterLoss
from engines.face_params.parameter_views import Views
from engines.face_params.parametric_face import Parameters, ParametricFace, place
from xpcam.tracking.crops import CROP

TOGETHER = 12  # portraits judged at a time


def landmark_error(face: ParametricFace, output: Parameters, batch: Batch) -> Tensor:
    """(B,) mean distance of the model's landmarks from the true ones in the picture, share of the eye distance."""
    points = face.landmarks(output)
    error = place(points, batch.landmarks).apply(points) - batch.landmarks
    return error[..., :2].norm(dim=2).mean(1) / eye_span(batch.landmarks)


def colour_error(face: ParametricFace, output: Parameters, batch: Batch) -> Tensor:
    """(B,) mean absolute difference over the face's skin, all pixels alike, 0 to 1."""
    colour, _, skin = face.draw(output, place(face.landmarks(output), batch.landmarks), DRAWN, CROP / DRAWN)
    error = (colour - batch.picture).abs().mean(-1)
    return (error * skin).sum((1, 2)) / skin.sum((1, 2)).clamp(min=1)


def mean_face(batch: Batch) -> Parameters:
    """The mean face in even light of strength 1, for every picture of the batch."""
    count = len(batch.picture)
    like = batch.picture
    lighting = like.new_zeros(count, 9, 3)
    lighting[:, 0] = 1.0
    return Parameters(
        like.new_zeros(count, 80), like.new_zeros(count, 52), like.new_zeros(count, 80), lighting
    )


def correlation(a: Tensor, b: Tensor) -> float:
    """Of two (N, K), mean over the columns that vary."""
    a, b = a - a.mean(0), b - b.mean(0)
    alive = b.std(0) > 0.02
    value = (a * b).sum(0) / (a.norm(dim=0) * b.norm(dim=0)).clamp(min=1e-6)
    return float(value[alive].mean())


@torch.no_grad()
def judge(network: nn.Module, loss: ParameterLoss, test: Views, device: torch.device) -> dict[str, float]:
    """Means over the test portraits, with a mean face's beside them."""
    rows: list[list[float]] = []
    found, wanted = [], []
    for first in range(0, len(test) // 4, TOGETHER):
        batch = test.batch(torch.arange(first, min(first + TOGETHER, len(test) // 4)), device)
        output = Parameters(*network(batch.near, batch.far, batch.seen))
        mean = mean_face(batch)
        rows.append([
            float(value.mean())
            for parameters in (output, mean)
            for value in (landmark_error(loss.face, parameters, batch), colour_error(loss.face, parameters, batch))
        ])  # fmt: skip
        found.append(output.expression)
        wanted.append(batch.scores)
    names = ("landmarks", "colours", "mean_face_landmarks", "mean_face_colours")
    means = torch.tensor(rows).mean(0).tolist()
    known = torch.cat(wanted)
    columns = torch.isfinite(known).all(0)
    row = dict(zip(names, means, strict=True))
    row["scores"] = correlation(torch.cat(found)[:, columns], known[:, columns])
    return row
