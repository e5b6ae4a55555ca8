"""What each number of the driving network's code is to mean: how landmarks go together, most important first.

The code is free in the paper. Here it is known where every landmark of an act is, so the reader can be told at once what
to read, and the decoder what to make of it, from codes without error.
"""

import numpy as np
import torch
from torch import Tensor, nn

from engines.x2face.network import CODE
from engines.x2face.packs import Packs
from engines.x2face.teacher import landmark_weights


class Codes(nn.Module):
    """Weighted principal components of acting landmarks; both ways are linear.

    Args:
        acted: (N, 478, 2) landmarks of acts, N > 96.
    """

    def __init__(self, acted: Tensor) -> None:
        super().__init__()
        weight = torch.from_numpy(landmark_weights()).sqrt()[:, None].expand(-1, 2).flatten()
        flat = acted.flatten(1)
        middle = flat.mean(0)
        _, values, directions = torch.linalg.svd((flat - middle) * weight, full_matrices=False)
        count = min(CODE, len(values))
        spread = (values[:count] / len(flat) ** 0.5).clamp_min(1e-6)
        scale = (spread * spread[0]).sqrt() / 3  # half whitened: what varies most stays largest
        away = directions[:count].T * weight[:, None] / scale
        back = (directions[:count] * scale[:, None]) / weight
        self.register_buffer("middle", middle)
        self.register_buffer("away", nn.functional.pad(away, (0, CODE - count)))
        self.register_buffer("back", nn.functional.pad(back, (0, 0, 0, CODE - count)))

    def of(self, acted: Tensor) -> Tensor:
        """(B, 96) codes of (B, 478, 2) acts."""
        return (acted.flatten(1) - self.middle) @ self.away

    def landmarks(self, code: Tensor) -> Tensor:
        """(B, 478, 2) of codes (B, 96)."""
        return (code @ self.back + self.middle).view(len(code), -1, 2)


def codes_of(packs: Packs) -> Codes:
    """From random acts of the packs."""
    batch = packs.batch(
        np.random.default_rng(0), 1500, alone=False, pictures=False, unseen=True, drivers=False
    )
    return Codes(batch.acted)
