"""How the driving network's code begins: how landmarks go together, most important first.

The code is free in the paper, and learned here as well. But where every landmark of an act is is known, so it begins as
their weighted principal components, and the decoder has sense to work on from the first step.
"""

import numpy as np
import torch
from torch import Tensor

from engines.x2face.network import CODE, Driving
from engines.x2face.packs import Packs
from engines.x2face.teacher import landmark_weights


def principal(acted: Tensor) -> tuple[Tensor, Tensor]:
    """(96, 956) and (96,): weight and bias that make codes of flat landmarks, half whitened: what varies most stays largest.

    Args:
        acted: (N, 478, 2) landmarks of acts.
    """
    weight = torch.from_numpy(landmark_weights()).sqrt()[:, None].expand(-1, 2).flatten()
    flat = acted.flatten(1)
    middle = flat.mean(0)
    _, values, directions = torch.linalg.svd((flat - middle) * weight, full_matrices=False)
    count = min(CODE, len(values))
    spread = (values[:count] / len(flat) ** 0.5).clamp_min(1e-6)
    scale = (spread * spread[0]).sqrt() / 3
    away = torch.zeros(CODE, flat.shape[1])
    away[:count] = directions[:count] * weight / scale[:, None]
    return away, -away @ middle


@torch.no_grad()
def begin_code(network: Driving, packs: Packs) -> None:
    """The code of random acts of the packs."""
    weight, bias = principal(packs.told(np.random.default_rng(0), 400).acted)
    network.code.weight.copy_(weight)
    network.code.bias.copy_(bias)
