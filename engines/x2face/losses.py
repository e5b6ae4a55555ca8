"""What X2Face is taught by: pixels, structure, exact correspondences, agreement between drivers."""

import torch
from torch import Tensor
from torch.nn import functional as F

from engines.x2face.heads import rest_grid

WANG = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Weights of the scales, finest first (Wang, Simoncelli, Bovik, Multi-scale structural similarity, 2003)."""
WINDOW, SIGMA = 11, 1.5
LEVEL, CONTRAST = 0.01**2, 0.03**2  # C1 and C2 for pictures of 0 to 1
REACH, FAR = 0.1, 2.0  # of a landmark over its surroundings, -1 to 1; weight of all that does not move
SMALLEST = 1e-6  # similarities that are raised to a power are no smaller


def gaussian(picture: Tensor) -> Tensor:
    """Weighted means over windows that lie wholly within (B, C, H, W)."""
    channels = picture.shape[1]
    away = torch.arange(WINDOW, dtype=picture.dtype, device=picture.device) - WINDOW // 2
    weight = torch.exp(-(away**2) / (2 * SIGMA**2))
    weight = (weight / weight.sum()).expand(channels, 1, 1, WINDOW)
    across = F.conv2d(picture, weight, groups=channels)
    return F.conv2d(across, weight.transpose(2, 3), groups=channels)


def similarities(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(B, C) mean of luminance times contrast-structure, and of contrast-structure alone: 0..1 pictures."""
    count = a.shape[1]
    means = gaussian(torch.cat([a, b, a * a, b * b, a * b], 1))
    mean_a, mean_b, square_a, square_b, product = means.split(count, 1)
    spread = square_a - mean_a**2 + square_b - mean_b**2
    structure = (2 * (product - mean_a * mean_b) + CONTRAST) / (spread + CONTRAST)
    light = (2 * mean_a * mean_b + LEVEL) / (mean_a**2 + mean_b**2 + LEVEL)
    return (light * structure).mean(dim=(2, 3)), structure.mean(dim=(2, 3))


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Mean structural similarity (Wang et al., IEEE TIP 2004) of (B, C, H, W) pictures, 0..1."""
    return similarities(a, b)[0].mean()


def ms_ssim(a: Tensor, b: Tensor, weights: tuple[float, ...] = WANG, light: tuple[bool, ...] = ()) -> Tensor:
    """Mean multi-scale structural similarity: the product over the scales m of

        ((2 mu_p mu_g + C1) / (mu_p^2 + mu_g^2 + C1))^beta_m * ((2 sigma_pg + C2) / (sigma_p^2 + sigma_g^2 + C2))^gamma_m

    as in the study of X2Face and in UNet 3+ (Huang et al. 2020, equation 4), whose loss is 1 minus it; at each scale the
    picture is half the last. With beta = gamma, as usual, both factors of a window are multiplied before the mean is taken.

    Args:
        weights: beta and gamma of each scale, finest first.
        light: at which scales luminance counts (beta is not 0); by default at all. Wang et al. 2003: at the last only.
    """
    light = light or (True,) * len(weights)
    total = a.new_ones(a.shape[:2])
    for scale, (weight, lit) in enumerate(zip(weights, light, strict=True)):
        if scale:
            a, b = F.avg_pool2d(a, 2), F.avg_pool2d(b, 2)
        total = total * similarities(a, b)[0 if lit else 1].clamp_min(SMALLEST) ** weight
    return total.mean()


def normalised_weights(scales: int) -> tuple[float, ...]:
    """The first of `WANG`, their sum 1."""
    whole = sum(WANG[:scales])
    return tuple(weight / whole for weight in WANG[:scales])


def structure(made: Tensor, truth: Tensor, kind: str) -> Tensor:
    """1 minus similarity of (B, 3, 128, 128) pictures in grey: `ssim`, or `ms-ssim` over four scales; 0 for `l1`."""
    if kind == "l1":
        return made.new_zeros(())
    grey = made.new_tensor([0.114, 0.587, 0.299])[None, :, None, None]
    a, b = (made * grey).sum(1, keepdim=True), (truth * grey).sum(1, keepdim=True)
    return 1 - (ssim(a, b) if kind == "ssim" else ms_ssim(a, b, normalised_weights(4)))


def pixels(made: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """L1 of (B, 3, H, W), weighted by (B, 1, H, W)."""
    return ((made - truth).abs() * weight).sum() / (weight.sum() * made.shape[1])


def looked_up(grid: Tensor, at: Tensor) -> Tensor:
    """(B, P, 2) what a grid (B, 2, h, w) says at points (B, P, 2)."""
    return F.grid_sample(grid, at[:, :, None], align_corners=False, padding_mode="border")[..., 0].mT


def apart(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """Mean distance in cells of a grid of 64 between points (B, P, 2), weighted by (B, P); a root near nothing."""
    away = (((found - wanted) * 32) ** 2).sum(-1)
    return (torch.sqrt(away + 0.05**2) * weight).sum() / weight.sum().clamp_min(1.0)


def grids_apart(found: Tensor, wanted: Tensor, weight: Tensor) -> Tensor:
    """As `apart`, between grids (B, 2, h, w), weighted by (B, 1, h, w)."""
    away = (((found - wanted) * 32) ** 2).sum(1, keepdim=True)
    return (torch.sqrt(away + 0.05**2) * weight).sum() / weight.sum().clamp_min(1.0)


def identity(codes: Tensor, pairs: int) -> Tensor:
    """How far two drivers' codes differ that do the same: (2 * pairs, C) codes, each pair side by side.

    Whose face drives must not show in the result.
    """
    both = codes.view(pairs, 2, -1)
    return (both[:, 0] - both[:, 1]).abs().mean()


def roughness(grid: Tensor) -> Tensor:
    """Second differences of a grid (B, 2, h, w), in cells."""
    across = grid[..., 2:] - 2 * grid[..., 1:-1] + grid[..., :-2]
    down = grid[..., 2:, :] - 2 * grid[..., 1:-1, :] + grid[..., :-2, :]
    return (across.abs().mean() + down.abs().mean()) * 32


def carried(source: Tensor, goal: Tensor, side: int = 128) -> Tensor:
    """(B, 2, side, side) a grid that has the points `goal` (B, P, 2) where `source` has its own; still far from all.

    Gaussian weights of the points (Shepard 1968), on a quarter of the side.
    """
    cells = side // 4
    steps = (torch.arange(cells, device=source.device) + 0.5) * (2 / cells) - 1
    at = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), -1).view(1, -1, 2)
    near = torch.exp(torch.cdist(at.expand(len(source), -1, -1), source) ** 2 / (-2 * REACH**2))
    moved = near @ (goal - source) / (near.sum(-1, keepdim=True) + FAR)
    moved = moved.mT.view(-1, 2, cells, cells)
    return rest_grid(side).to(source) + F.interpolate(
        moved, (side, side), mode="bilinear", align_corners=False
    )
