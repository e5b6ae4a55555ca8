"""From a decoder's maps to sampling grids."""

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional as F

GRID: Final = 128  # side of the grids, cells
BLENDED: Final = 16  # channels of the finest map that the code blends


def steps_of(side: int) -> Tensor:
    """(side,) middles of so many cells, -1 to 1."""
    return (torch.arange(side) + 0.5) * (2 / side) - 1


def rest_grid(side: int) -> Tensor:
    """(1, 2, side, side) grid that samples each cell where it lies, -1 to 1, x then y (align_corners=False)."""
    steps = steps_of(side)
    return torch.stack(torch.meshgrid(steps, steps, indexing="xy"))[None]


class Heads(nn.Module):
    """Grids from the decoder's maps: an affine map of the whole and what each cell adds to it.

    The finest map has half as many cells as the grid: each says four (Shi et al., sub-pixel convolution, CVPR 2016).

    Args:
        blended: the code also says how much of each channel of the finest map, made `BLENDED`, goes into the grid:
            what it means somewhere is then a product, of how much and where.
    """

    def __init__(self, widths: tuple[int, ...], code: int, deep: bool, blended: bool = False) -> None:
        super().__init__()
        self.levels = tuple(range(4)) if deep else (0,)
        self.cells = nn.ModuleList(
            nn.Conv2d(widths[level], 2 if level else 8, 3, padding=1) for level in self.levels
        )
        self.whole = nn.Linear(code, 6)
        self.fewer = nn.Conv2d(widths[0], BLENDED, 1) if blended and widths[0] != BLENDED else nn.Identity()
        self.share = nn.Linear(code, 8 * BLENDED) if blended else None
        for layer in [*self.cells, self.whole, *([] if self.share is None else [self.share])]:
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        self.register_buffer("unmoved", torch.tensor([[1.0, 0, 0, 1, 0, 0]]), persistent=False)
        for level in self.levels:
            self.register_buffer(f"rest{level}", steps_of(side_of(level)), persistent=False)

    def forward(self, maps: list[Tensor], code: Tensor) -> list[Tensor]:
        """(B, 2, 128, 128), then in deep supervision (B, 2, 32, 32), (B, 2, 16, 16), (B, 2, 8, 8)."""
        across, down, shift = (
            (self.whole(code) + self.unmoved).view(-1, 6, 1, 1)[:, [0, 2, 1, 3, 4, 5]].split(2, dim=1)
        )
        wanted = self.levels if self.training else self.levels[:1]
        grids = []
        for level, layer in zip(wanted, self.cells, strict=False):
            rest = getattr(self, f"rest{level}")
            cells = layer(maps[level])
            if self.share is not None and not level:
                finest = self.fewer(maps[0]).flatten(2)
                cells = cells + (self.share(code).view(-1, 8, BLENDED) @ finest).view_as(cells)
            added = cells if level else F.pixel_shuffle(cells, 2)
            grids.append(across * rest + down * rest[:, None] + shift + 0.5 * added)
        return grids


def side_of(level: int) -> int:
    """Cells of the side of a level's grid; those between the first and the second are left out."""
    return GRID >> (level + 1) if level else GRID
