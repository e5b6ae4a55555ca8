"""What X2Face is taught by, beside other people's implementations of it (needs PyTorch, extra train)."""

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")

from engines.x2face import losses  # noqa: E402
from engines.x2face.heads import rest_grid  # noqa: E402
from engines.x2face.network import sample  # noqa: E402

# Of `pair()`, by scikit-image 0.26.0 (structural_similarity, channel_axis=2, gaussian_weights=True,
# sigma=1.5, use_sample_covariance=False, data_range=1, in float64), and by pytorch-msssim 1.0.0 (ssim and
# ms_ssim, data_range=1).
SCIKIT_SSIM = 0.9416368747
PYTORCH_MSSSIM_SSIM, PYTORCH_MSSSIM = 0.9416370392, 0.9487652183


def pair() -> tuple[Any, Any]:
    """Two (1, 3, 192, 192) pictures, 0 to 1, that resemble each other."""
    rng = np.random.default_rng(11)
    first, other = picture(rng), picture(rng)
    second = (first * 0.8 + 0.2 * other).clip(0, 1)
    return torch.from_numpy(first)[None], torch.from_numpy(second)[None]


def picture(rng: np.random.Generator, side: int = 192) -> np.ndarray:
    y, x = np.mgrid[:side, :side] / side
    waves = [
        np.sin(2 * np.pi * (x * rng.uniform(1, 20) + y * rng.uniform(1, 20)) + rng.uniform(0, 6))
        for _ in range(3)
    ]
    noise = rng.standard_normal((3, side, side))
    return np.asarray((0.5 + 0.15 * np.stack(waves) + 0.08 * noise).clip(0, 1).astype(np.float32))


def test_ssim_is_that_of_scikit_image_and_of_pytorch_msssim() -> None:
    found = float(losses.ssim(*pair()))
    assert found == pytest.approx(SCIKIT_SSIM, abs=2e-6)
    assert found == pytest.approx(PYTORCH_MSSSIM_SSIM, abs=2e-6)


def test_ms_ssim_with_luminance_at_the_last_scale_is_that_of_pytorch_msssim() -> None:
    found = losses.ms_ssim(*pair(), losses.WANG, (False, False, False, False, True))
    assert float(found) == pytest.approx(PYTORCH_MSSSIM, abs=2e-6)


def test_the_studys_formula_has_luminance_at_every_scale() -> None:
    a, b = pair()
    wanted = torch.ones(1, 3)
    for scale, weight in enumerate(losses.WANG):
        if scale:
            a, b = (torch.nn.functional.avg_pool2d(one, 2) for one in (a, b))
        wanted = wanted * losses.similarities(a, b)[0] ** weight
    assert float(losses.ms_ssim(*pair())) == pytest.approx(float(wanted.mean()), abs=1e-6)
    assert float(losses.ms_ssim(*pair())) < PYTORCH_MSSSIM


def test_equal_pictures_lose_nothing_and_structure_leads_towards_them() -> None:
    truth = torch.from_numpy(picture(np.random.default_rng(2), 128))[None]
    for kind in ("l1", "ssim", "ms-ssim"):
        assert float(losses.structure(truth, truth, kind)) == pytest.approx(0.0, abs=1e-5)
    made = (truth * 0.5 + 0.2).requires_grad_()
    before = losses.structure(made, truth, "ms-ssim")
    before.backward()
    assert made.grad is not None and torch.isfinite(made.grad).all()
    assert losses.structure(made - made.grad * 5.0, truth, "ms-ssim") < before


def test_l1_counts_the_pixels_that_weigh() -> None:
    made, truth = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 2, 2)
    weight = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert float(losses.pixels(made, truth, weight)) == pytest.approx(1.0)
    truth[..., 0, 0] = 0.0
    assert float(losses.pixels(made, truth, weight)) == 0.0


def test_a_grid_that_moves_everything_is_found_so_far_off() -> None:
    points = torch.rand(1, 40, 2) * 1.6 - 0.8
    grid = rest_grid(64)
    assert torch.allclose(losses.looked_up(grid, points), points, atol=1e-5)
    moved = losses.looked_up(grid + 2 / 64, points)  # by a cell, both ways
    assert float(losses.apart(moved, points, torch.ones(1, 40))) == pytest.approx(2**0.5, rel=1e-2)
    assert float(losses.apart(moved, points, torch.zeros(1, 40))) == 0.0


def test_drivers_who_do_the_same_agree() -> None:
    one, other = torch.zeros(8), torch.ones(8)
    assert float(losses.identity(torch.stack([one, one, other, other]), 2)) == 0.0
    assert float(losses.identity(torch.stack([one, other]), 1)) == pytest.approx(1.0)


def test_affine_grids_are_smooth() -> None:
    grid = rest_grid(16)
    assert float(losses.roughness(grid * 0.7 + 0.1)) == pytest.approx(0.0, abs=1e-4)
    assert float(losses.roughness(grid + 0.1 * torch.sin(20 * grid))) > 0.1


def test_a_resting_grid_changes_no_picture() -> None:
    image = torch.rand(1, 3, 32, 32)
    assert torch.allclose(sample(image, rest_grid(32)), image, atol=1e-5)
