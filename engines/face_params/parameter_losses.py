"""What the parameters are asked for: a face that, drawn, is the picture, and whose landmarks lie where they are seen.

Nobody ever measured the albedo or the light of a portrait: those are learned without labels, by drawing the face
back (Tewari et al., MoFA, ICCV 2017; Deng et al., Accurate 3D Face Reconstruction, CVPRW 2019, equations 1 to 5). Landmarks and blend-shape
scores come from the teacher, whole sets of parameters from rendered heads.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.losses import PAIR_WEIGHT, PAIRS, point_weights
from engines.face_params.parametric_face import Parameters, ParametricFace, Placing, place
from xpcam.tracking.crops import CROP

DRAWN = 64  # side of the pictures that are compared, pixels
DOUBT = 0.3  # residual, of the range of values, from which a pixel is taken for hair, glasses or a hand


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each term counts; a term at 0 is not computed."""

    landmarks: float = 20.0
    pairs: float = 0.6
    photometric: float = 10.0
    scores: float = 3.0
    supervised: float = 1.0
    consistency: float = 2.0
    prior: float = 0.02


@dataclass(frozen=True, slots=True)
class Batch:
    """Views of faces, two of one crop side by side, two crops of one portrait side by side.

    Attributes:
        near, far: the landmark network's maps, (B, 112, 8, 8) and (B, 192, 4, 4).
        seen: (B, 478, 3) landmarks that network placed, crop pixels.
        landmarks: (B, 478, 3) where they truly are.
        picture: (B, 64, 64, 3) the crop, BGR 0 to 1.
        scores: (B, 52) ARKit weights, the teacher's or drawn; NaN where nobody knows.
        known: (B,) bool, whether `truth` is exact.
        truth: what rendered heads were made of; zeros elsewhere.
    """

    near: Tensor
    far: Tensor
    seen: Tensor
    landmarks: Tensor
    picture: Tensor
    scores: Tensor
    known: Tensor
    truth: Parameters


class ParameterLoss(nn.Module):
    """The weighted sum of all terms."""

    def __init__(self, face: ParametricFace, spreads: Tensor, weights: Weights, drawn: int = 24) -> None:
        super().__init__()
        self.face, self.weights, self.drawn = face, weights, drawn
        self.register_buffer("spreads", spreads)
        self.register_buffer("pairs", torch.tensor(PAIRS))
        self.register_buffer("pair_weight", torch.tensor(PAIR_WEIGHT))
        self.register_buffer("point_weight", point_weights())

    def forward(self, output: Parameters, batch: Batch) -> dict[str, Tensor]:
        weights, parts = self.weights, {}
        face = self.face.landmarks(output)
        placing = place(face.detach(), batch.landmarks)
        error = (placing.apply(face) - batch.landmarks) / placing.scale[:, None, None]
        parts["landmarks"] = weights.landmarks * self.apart(error)
        parts["pairs"] = weights.pairs * self.pair_error(error)
        if weights.photometric:
            parts["photometric"] = weights.photometric * self.photometric(output, batch, placing)
        if weights.scores:
            parts["scores"] = weights.scores * self.score_error(output, batch)
        if weights.supervised:
            parts["supervised"] = weights.supervised * self.supervised(output, batch)
        if weights.consistency:
            parts["consistency"] = weights.consistency * self.consistency(output)
        parts["prior"] = weights.prior * self.prior(output)
        parts["total"] = torch.stack(list(parts.values())).sum()
        return parts

    def apart(self, error: Tensor) -> Tensor:
        """Mean distance of the landmarks, eye spans; depth counts less, for the teacher guesses it."""
        distance = ((error * error.new_tensor([1.0, 1.0, 0.3])).square().sum(-1) + 1e-6).sqrt()
        return (distance * self.point_weight).mean()

    def pair_error(self, error: Tensor) -> Tensor:
        """Landmark pairs that express, in units of how far they move in speech."""
        flat = error[..., :2]
        units = (flat[:, self.pairs[:, 0]] - flat[:, self.pairs[:, 1]]) / self.spreads[:, None]
        loss = F.smooth_l1_loss(units, torch.zeros_like(units), reduction="none").sum(-1)
        return (loss * self.pair_weight).mean()

    def photometric(self, output: Parameters, batch: Batch, placing: Placing) -> Tensor:
        """Mean robust colour error over the skin that is seen, 0 to 1; some of the batch only."""
        rows = torch.arange(
            0, len(batch.picture), max(1, len(batch.picture) // self.drawn), device=batch.picture.device
        )
        picked = Parameters(
            output.identity[rows], output.expression[rows], output.texture[rows], output.lighting[rows]
        )
        where = Placing(placing.rotation[rows], placing.scale[rows], placing.shift[rows])
        colour, _, skin = self.face.draw(picked, where, DRAWN, CROP / DRAWN)
        return robust(colour - batch.picture[rows], skin)

    def score_error(self, output: Parameters, batch: Batch) -> Tensor:
        known = torch.isfinite(batch.scores)
        wanted = torch.where(known, batch.scores, torch.zeros_like(batch.scores)).clamp(0, 1)
        error = F.smooth_l1_loss(output.expression, wanted, beta=0.1, reduction="none")
        return (error * known).sum() / known.sum().clamp(min=1)

    def supervised(self, output: Parameters, batch: Batch) -> Tensor:
        """Rendered heads: every group is known."""
        rows = batch.known.nonzero()[:, 0]
        if not len(rows):
            return output.identity.new_zeros(())
        truth = batch.truth
        return (
            0.2 * F.smooth_l1_loss(output.identity[rows], truth.identity[rows])
            + 0.1 * F.smooth_l1_loss(output.texture[rows], truth.texture[rows])
            + 4.0 * F.smooth_l1_loss(output.expression[rows], truth.expression[rows], beta=0.1)
            + 4.0 * F.smooth_l1_loss(output.lighting[rows], truth.lighting[rows], beta=0.1)
        )

    def consistency(self, output: Parameters) -> Tensor:
        """Two views of one crop have one expression and one face; two crops of one portrait one face."""
        identity, texture, expression = (
            getattr(output, name) for name in ("identity", "texture", "expression")
        )
        same = 2.0 * (expression[0::2] - expression[1::2]).abs().mean()
        for group in (identity, texture):
            quads = group.view(-1, 4, group.shape[1])
            same = same + 0.3 * (quads - quads.mean(1, keepdim=True)).square().mean()
        return same

    def prior(self, output: Parameters) -> Tensor:
        """Faces are not far from the mean, most blend shapes rest, light is nearly white."""
        grey = output.lighting.mean(2, keepdim=True)
        return (
            output.identity.square().mean()
            + output.texture.square().mean()
            + 2.0 * output.expression.mean()
            + 4.0 * (output.lighting - grey).square().mean()
            + 0.5 * output.lighting[:, 1:].square().mean()
        )


def robust(difference: Tensor, skin: Tensor) -> Tensor:
    """Mean absolute colour error over the skin; pixels that are far off count less (Geman and McClure 1987)."""
    error = (difference.square().sum(-1) + 1e-6).sqrt()
    trust = skin / (1 + (error.detach() / DOUBT).square()).square()
    return (error * trust).sum() / trust.sum().clamp(min=1.0)
