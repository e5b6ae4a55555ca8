"""What the driving network's decoder knows of places: learned maps, bent by the code."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.x2face.heads import GRID, steps_of

CHANNELS: Final = (32, 16, 16, 16)  # that the decoder gets at strides 2, 4, 8, 16
MAPS: Final = 24  # learned ones at each stride
WAVES: Final = (10.0, 7.0, 5.0, 3.0)  # spread of the frequencies that they begin with, radians in half a crop


class Places(nn.Module):
    """(B, C) codes -> (B, channels, side, side): learned maps of the face, mixed by weights that the code gives, then cut off at 0.

    What shuts, a lid or a mouth, is a jump in the grid whose place depends on how far it shut. A channel can draw such an
    edge at once: a height less a line that the code moves. Layers on an enlarged code take far longer to (docs/decisions.md).
    The maps begin as a constant, x, y and waves (Tancik et al., Fourier features, NeurIPS 2020); the weights that a code
    gives are a hypernetwork's (Ha et al., ICLR 2017).

    Args:
        code: numbers of it.
        level: 0 at stride 2, and so on.
    """

    def __init__(self, code: int, level: int) -> None:
        super().__init__()
        self.channels, self.side = CHANNELS[level], GRID >> (level + 1)
        steps = steps_of(self.side)
        y, x = torch.meshgrid(steps, steps, indexing="ij")
        across, down = torch.randn(2, MAPS - 3, 1, 1) * WAVES[level]
        phase = torch.rand(MAPS - 3, 1, 1) * (2 * torch.pi)
        waves = torch.sin(across * x + down * y + phase)
        self.maps = nn.Parameter(torch.cat([torch.ones_like(x)[None], x[None], y[None], waves]).flatten(1))
        self.mix = nn.Linear(code, self.channels * MAPS)
        nn.init.normal_(self.mix.weight, std=0.3 / MAPS**0.5)
        nn.init.normal_(self.mix.bias, std=1 / MAPS**0.5)

    def forward(self, code: Tensor) -> Tensor:
        mixed = self.mix(code).view(-1, self.channels, MAPS) @ self.maps
        return F.relu(mixed).view(-1, self.channels, self.side, self.side)
