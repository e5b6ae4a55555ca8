"""Train the closer look at the mouth's corners (`corners.py`) on top of the landmark network.

    python -m engines.face_params.train_corners --data DIR --shards calm.npz strong.npz --held calm_held.npz --start blended.pt

What the landmark network sees of the crops is computed once and kept in --out (`corner_views.py`). Writes
`corners.pt` and `corners.csv` there.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from engines.face_params import corner_views, data
from engines.face_params.arrays import Floats
from engines.face_params.blend import empty
from engines.face_params.corner_views import Views
from engines.face_params.corners import CornerNet
from engines.face_params.shards import Shards
from engines.face_params.train import MovingAverage, append, rate_at, save
from xpcam.face import landmarks as fl

HELD = 600  # views that each judgement looks at
BETA, WIDTH_BETA = 1.0, 1.5  # per cent of the outer-eye distance within which errors count squared
SPREAD = 20.0  # weight of the changes' spread
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""Patches (B, 2, 3, 32, 32), landmarks (B, 478, 2), what is known (B, 256), truth (B, 478, 2)."""


def batch(views: Views, rows: Floats, rng: np.random.Generator | None = None) -> Batch:
    """Some views; with `rng` as training sees them: corners placed off, and darker or lighter."""
    landmarks = np.array(views.landmarks[rows])
    if rng is not None:
        landmarks = corner_views.displaced(rng, landmarks)
    patches = torch.from_numpy(views.patches(rows, landmarks)).permute(0, 1, 4, 2, 3).float()
    patches = (patches - 127.0) / 128.0
    if rng is not None:
        gain = np.exp(rng.normal(0, 0.1, (len(rows), 1, 1, 1, 1))).astype(np.float32)
        patches = patches * torch.from_numpy(gain)
    known, truth = np.array(views.known[rows], np.float32), np.array(views.truth[rows])
    return patches, torch.from_numpy(landmarks), torch.from_numpy(known), torch.from_numpy(truth)


def widths(corners: Tensor) -> Tensor:
    return (corners[:, 1] - corners[:, 0]).norm(dim=1)


def loss(network: CornerNet, views: Batch) -> dict[str, Tensor]:
    """Where the corners are, how far apart, and how that differs between two pictures of one portrait.

    All in per cent of the teacher's outer-eye distance.
    """
    patches, landmarks, known, truth = views
    unit = 100.0 / widths(truth[:, list(fl.EYE_CORNERS)])
    moved = network.said(patches, landmarks, known)
    corners, wanted = (face[:, list(fl.MOUTH_CORNERS)] for face in (landmarks, truth))
    corners = corners + torch.stack([moved, torch.zeros_like(moved)], dim=2)
    off = (corners - wanted)[..., 0] * unit[:, None]
    wide = (widths(corners) - widths(wanted)) * unit
    change = wide[0::2] - wide[1::2]
    parts = {
        name: F.smooth_l1_loss(error, torch.zeros_like(error), beta=beta)
        for name, error, beta in (
            ("place", off, BETA),
            ("width", wide, WIDTH_BETA),
            ("change", change, WIDTH_BETA),
        )
    }
    parts["spread"] = spread(widths(corners) * unit, widths(wanted) * unit)
    parts["total"] = (
        0.5 * parts["place"] + 0.5 * parts["width"] + 0.7 * parts["change"] + SPREAD * parts["spread"]
    )
    return parts


def spread(found: Tensor, wanted: Tensor) -> Tensor:
    """How far the changes found are from being as large as those wanted: in doubt a network says too little."""
    said, meant = ((wide[0::2] - wide[1::2]).square().mean().sqrt() for wide in (found, wanted))
    return (said / meant.clamp(min=0.1) - 1.0) ** 2


@torch.no_grad()
def judge(network: CornerNet, views: Views) -> dict[str, float]:
    """Error of the lips' width, and the correlation of its changes, before and after."""
    said = []
    for first in range(0, len(views), 50):
        rows = np.arange(first, min(first + 50, len(views)))
        patches, landmarks, known, _ = batch(views, rows)
        said.append(network.said(patches, landmarks, known).numpy())
    moved = np.array(views.landmarks)
    moved[..., 0] += np.concatenate(said) @ network.reach.numpy()
    truth = np.array(views.truth)
    unit = np.linalg.norm(truth[:, 33] - truth[:, 263], axis=1)
    wide, before, after = (
        np.linalg.norm(face[:, 61] - face[:, 291], axis=1) / unit for face in (truth, views.landmarks, moved)
    )
    row = {}
    for name, found in (("before", before), ("after", after)):
        row[f"{name}_error"] = float((found - wide).std()) * 100
        row[f"{name}_change"] = float(np.corrcoef(found[::2] - found[1::2], wide[::2] - wide[1::2])[0, 1])
    return row


def made(options: argparse.Namespace) -> tuple[Views, Views]:
    """Training and held-out views, from --out where they are already."""
    folders = options.out / "train", options.out / "held"
    if not all(folder.is_dir() for folder in folders):
        network = empty()
        network.load_state_dict(torch.load(options.start, weights_only=True)["average"])
        samples = data.CropMaker(data.load(options.data)[0], options.seed)
        train = corner_views.collect(network, options.views, samples, Shards(options.shards), options.seed)
        corner_views.stored(train, folders[0])
        held = corner_views.collect(network, HELD, None, Shards([options.held]), options.seed)
        corner_views.stored(held, folders[1])
    train, held = (corner_views.load(folder) for folder in folders)
    return train, held


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--shards", type=Path, nargs="+", required=True, help="crops that label_warps wrote")
    parser.add_argument("--held", type=Path, required=True, help="such a file of the test portraits")
    parser.add_argument(
        "--start", type=Path, required=True, help="the landmark network, as `blend` writes it"
    )
    parser.add_argument("--views", type=int, default=40000)
    parser.add_argument("--steps", type=int, default=5200)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--every", type=int, default=800, help="steps between judgements")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("runs/corners"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    train, held = made(options)
    network, twin = CornerNet(), CornerNet().eval()
    average = MovingAverage(network)
    optimiser = torch.optim.AdamW(network.parameters(), lr=options.rate, weight_decay=0.02, betas=(0.9, 0.99))
    bar = tqdm(range(options.steps + 1), unit="step", dynamic_ncols=True, mininterval=2.0)
    waiting: list[int] = []
    for step in bar:
        if step % options.every == 0 or step == options.steps:
            twin.load_state_dict(average.state)
            row = judge(twin, held)
            append(options.out / "corners.csv", {"step": step, **row})
            tqdm.write(f"step {step} " + " ".join(f"{key}={value:.3f}" for key, value in row.items()))
            settings = {key: str(value) for key, value in vars(options).items()}
            save(options.out / "corners.pt", average=average.state, step=step, settings=settings)
        for group in optimiser.param_groups:
            group["lr"] = rate_at(step / max(options.steps, 1), step, options.rate)
        if len(waiting) < options.batch // 2:
            waiting = rng.permutation(len(train) // 2).tolist()
        pairs = np.array([waiting.pop() for _ in range(options.batch // 2)])
        terms = loss(network, batch(train, np.stack([2 * pairs, 2 * pairs + 1], axis=1).ravel(), rng))
        optimiser.zero_grad()
        terms["total"].backward()
        nn.utils.clip_grad_norm_(network.parameters(), 20.0)
        optimiser.step()
        average.update(network, step)
        bar.set_postfix({key: f"{value.item():.3f}" for key, value in terms.items()}, refresh=False)


if __name__ == "__main__":
    main()
