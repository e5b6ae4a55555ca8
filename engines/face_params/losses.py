"""What the landmark network is asked for: every landmark in its place, and above all the distances that express.

A small landmark error can hide a face that never moves (docs/decisions.md), so differences of landmark pairs are
compared too, each in units of its own spread over the data.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.arrays import Floats
from xpcam.face import landmarks as fl

LIPS = (
    (13, 14),
    (82, 87),
    (312, 317),
    (81, 178),
    (311, 402),
    (80, 88),
    (310, 318),
    (0, 17),
    (37, 84),
    (267, 314),
)
LIP_SHAPE = (
    (61, 291),
    (78, 308),
    (61, 2),
    (291, 2),
    (0, 2),
    (17, 2),
    (13, 2),
    (14, 2),
    (152, 2),
    (17, 152),
    (40, 91),
    (270, 321),
)
LIDS = (
    *fl.RIGHT_LIDS[1:6],
    *fl.LEFT_LIDS[1:6],
    (159, 33),
    (159, 133),
    (145, 33),
    (386, 263),
    (386, 362),
    (374, 263),
)
BROWS = (
    (70, 33), (63, 33), (105, 33), (105, 133), (66, 133), (107, 133), (52, 159), (65, 159),
    (300, 263), (293, 263), (334, 263), (334, 362), (296, 362), (336, 362), (282, 386), (295, 386),
    (107, 336), (107, 168), (336, 168),
)  # fmt: skip
SPREADS = (0.015, 0.045)  # least and greatest that is used
BETA = 0.6  # spreads within which errors count squared: their mean is asked for, as a median hides openings
PAIRS = (*LIPS, *LIP_SHAPE, *LIDS, *BROWS)
PAIR_WEIGHT = (*(1.5 for _ in LIPS), *(1.5 for _ in LIP_SHAPE), *(1.0 for _ in LIDS), *(1.0 for _ in BROWS))


def eye_span(landmarks: Tensor) -> Tensor:
    """(B,) outer-eye distance with depth, the ruler of all errors."""
    corners = landmarks[:, list(fl.EYE_CORNERS)]
    return (corners[:, 1] - corners[:, 0]).norm(dim=1).clamp(min=1.0)


def pair_spreads(landmarks: Floats, people: Floats) -> Floats:
    """(P,) by how much each pair's distance changes in speech, in eye spans.

    Half the standard deviation within the people shown more than once, whose expressions are strong. Over all
    people it would mostly be how faces differ, not how a face moves.
    """
    span = np.linalg.norm(landmarks[:, 263] - landmarks[:, 33], axis=1)
    first, second = (landmarks[:, [pair[i] for pair in PAIRS], :2] for i in (0, 1))
    distances = np.linalg.norm(first - second, axis=2) / span[:, None]
    variances = [distances[people == person].var(axis=0) for person in np.unique(people[people != ""])]
    return np.asarray(np.clip(0.5 * np.sqrt(np.mean(variances, axis=0)), *SPREADS), np.float32)


def point_weights() -> Tensor:
    """(478,) mean 1: lips, lids and brows count more."""
    weights = torch.ones(fl.LANDMARKS)
    weights[[*fl.INNER_LIPS, *fl.OUTER_LIPS, *fl.RIGHT_EYE, *fl.LEFT_EYE]] = 3.0
    weights[[*fl.RIGHT_BROW, *fl.LEFT_BROW, *fl.RIGHT_IRIS, *fl.LEFT_IRIS]] = 2.0
    return weights / weights.mean()


class LandmarkLoss(nn.Module):
    """Weighted sum of landmark distances, pair differences (final and coarse) and face / no face."""

    def __init__(self, spreads: Floats) -> None:
        super().__init__()
        self.register_buffer("spreads", torch.tensor(spreads))
        self.register_buffer("pairs", torch.tensor(PAIRS))
        self.register_buffer("pair_weight", torch.tensor(PAIR_WEIGHT))
        self.register_buffer("point_weight", point_weights())

    def place(self, landmarks: Tensor, truth: Tensor, span: Tensor) -> Tensor:
        error = (landmarks - truth) / span[:, None, None] * landmarks.new_tensor([1.0, 1.0, 0.4])
        distance = (error.square().sum(-1) + 1e-6).sqrt()
        return (distance * self.point_weight).mean(1)

    def differ(self, landmarks: Tensor, truth: Tensor, span: Tensor) -> Tensor:
        error = (landmarks - truth)[..., :2] / span[:, None, None]
        error = error[:, self.pairs[:, 0]] - error[:, self.pairs[:, 1]]  # (B, P, 2)
        units = error / self.spreads[:, None]
        return (
            F.smooth_l1_loss(units, torch.zeros_like(units), beta=BETA, reduction="none").sum(-1)
            * self.pair_weight
        ).mean(1)

    def lengths(self, landmarks: Tensor) -> Tensor:
        """(B, P) distances of the pairs in eye spans, each side by its own, as an expression is measured."""
        points = landmarks[..., :2]
        apart = (points[:, self.pairs[:, 0]] - points[:, self.pairs[:, 1]]).square().sum(-1) + 0.04
        return apart.sqrt() / eye_span(landmarks)[:, None]

    def change(self, landmarks: Tensor, truth: Tensor, face: Tensor) -> Tensor:
        """How the distances differ between two pictures of one person: who it is cancels, how it moves stays."""
        error = (self.lengths(landmarks) - self.lengths(truth)) / self.spreads
        error = error[0::2] - error[1::2]
        both = face[0::2] * face[1::2]
        loss = F.smooth_l1_loss(error, torch.zeros_like(error), beta=BETA, reduction="none")
        return ((loss * self.pair_weight).mean(1) * both).sum() / both.sum().clamp(min=1.0)

    def rough(self, coarse: Tensor, truth: Tensor, span: Tensor) -> Tensor:
        return 10 * self.place(coarse, truth, span) + 0.5 * self.differ(coarse, truth, span)

    def forward(
        self, output: tuple[Tensor, Tensor, Tensor], truth: Tensor, face: Tensor
    ) -> dict[str, Tensor]:
        final, coarse, logit = output
        span = eye_span(truth)
        count = face.sum().clamp(min=1.0)
        read = len(logit)  # pictures that went through the coarse pass
        looked = face[:read].sum().clamp(min=1.0)
        parts = {
            "place": 20 * (self.place(final, truth, span) * face).sum() / count,
            "pairs": (self.differ(final, truth, span) * face).sum() / count,
            "change": 2 * self.change(final, truth, face),
            "coarse": (self.rough(coarse[:read], truth[:read], span[:read]) * face[:read]).sum() / looked,
            "face": F.binary_cross_entropy_with_logits(logit, face[:read]),
        }
        parts["total"] = sum(parts.values())
        return parts


def rough_guess(mean: Tensor, truth: Tensor) -> Tensor:
    """Such landmarks as a coarse pass gives: (B, 478, 3) drawn towards the mean shape, and a little out of place.

    The mean shape (478, 3) is laid on each truth by its eye corners' and mouth's box; between none and most of the
    way to the truth is then gone, so that the expression in the guess is never to be trusted.
    """
    count, device = len(truth), truth.device
    mean = mean.to(truth)
    middle, mean_middle = truth.mean(1, keepdim=True), mean.mean(0)
    scale = (eye_span(truth) / eye_span(mean[None]))[:, None, None]
    corners = truth[:, list(fl.EYE_CORNERS), :2]
    across = corners[:, 1] - corners[:, 0]
    angle = torch.atan2(across[:, 1], across[:, 0]) + 0.05 * torch.randn(count, device=device)
    cosine, sine = angle.cos(), angle.sin()
    turn = torch.stack([cosine, -sine, sine, cosine], dim=1).view(count, 2, 2)
    laid = (
        (mean - mean_middle).repeat(count, 1, 1)
        * scale
        * (1 + 0.04 * torch.randn(count, 1, 1, device=device))
    )
    laid = torch.cat([laid[..., :2] @ turn.transpose(1, 2), laid[..., 2:]], dim=2) + middle
    share = 0.9 * torch.rand(count, 1, 1, device=device)
    return laid + (truth - laid) * share + 2.5 * torch.randn(count, 1, 3, device=device)
