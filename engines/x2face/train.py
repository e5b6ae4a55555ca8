"""Train both networks of X2Face on the packs that `data` wrote.

    python -m engines.x2face.train --packs runs/x2face/packs --backbone unet --minutes 30 --seed 0 [--resume]

Two stages, as in the paper: first everybody is driven by their own picture (self-reconstruction, `--alone` of the
budget), then by somebody else who does the same. The learning rate follows a cosine over the wall-clock budget, or over
--steps, which repeats exactly. Writes to --out: `checkpoint.pt` (weights, moving average, optimiser, step, settings),
`log.csv` (judged on packs of the test split), `sheet.png` (source, driver, made, wanted). With --dry-run one batch is
drawn and shown, the networks are counted, and nothing is trained. Starts on several processes with `torchrun` unchanged.
"""

import argparse
import os
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from engines.face_params.train import (
    MovingAverage,
    append,
    join,
    rate_at,
    restore,
    save,
    sheet,
)
from engines.x2face.network import BACKBONES, X2Face
from engines.x2face.objective import STRUCTURE, Objective, judged
from engines.x2face.packs import ACTS_EACH, DRIVERS, Batch, Packs
from engines.x2face.places import Places
from engines.x2face.start import begin, begin_with

HELD = 48  # sources that each judgement looks at


def arguments(given: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packs", type=Path, default=Path("runs/x2face/packs"), help="with train/ and test/")
    parser.add_argument("--backbone", choices=BACKBONES, default="unet")
    parser.add_argument("--loss", choices=tuple(STRUCTURE), default="l1+ms-ssim", help="of the pictures")
    parser.add_argument("--minutes", type=float, default=30.0, help="wall-clock budget, start-up excluded")
    parser.add_argument("--steps", type=int, default=0, help="steps in place of --minutes: repeats exactly")
    parser.add_argument(
        "--alone", type=float, default=0.05, help="share of the budget for self-reconstruction"
    )
    parser.add_argument(
        "--sources", type=int, default=4, help=f"of a step and process; {ACTS_EACH * DRIVERS} drivers of each"
    )
    parser.add_argument(
        "--taught",
        type=int,
        default=12,
        help="pairs of acts of the embedded face itself in each step",
    )
    parser.add_argument("--pictures", type=int, default=8, help="of so many steps one looks at pictures too")
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the networks")
    parser.add_argument("--out", type=Path, help="default: runs/x2face/<backbone>")
    parser.add_argument("--every", type=float, default=5.0, help="minutes between checkpoints and judgements")
    parser.add_argument(
        "--start", type=Path, help="checkpoint, of either backbone, whose weights to begin with"
    )
    parser.add_argument("--resume", action="store_true", help="go on from --out's checkpoint")
    parser.add_argument(
        "--dry-run", action="store_true", help="draw a batch, count the networks, train nothing"
    )
    options = parser.parse_args(given)
    options.out = options.out or Path("runs/x2face") / options.backbone
    return options


def shown(*rows: Tensor) -> np.ndarray:
    """A sheet whose rows repeat in this order, twelve pictures wide; all (W, 3, 128, 128), 0 to 255."""
    columns = torch.cat(rows, dim=2)
    pictures = columns.clamp(0, 255).permute(0, 2, 3, 1).byte().cpu().numpy()
    return sheet(pictures[: len(pictures) // 12 * 12][:36], 12)


class Judge:
    """Looks at the same held-out batches again and again."""

    def __init__(self, packs: Path, backbone: str, device: torch.device) -> None:
        rng = np.random.default_rng(12345)
        self._batches: dict[str, Batch] = {}
        for kind in ("portraits", "heads", ""):
            if list((packs / "test").glob(f"{kind}*/seen.npy")) and not (not kind and self._batches):
                batch = Packs(packs / "test", kind).batch(rng, HELD, alone=False, plain=True)
                self._batches[kind or "all"] = batch.to(device)
        self._twin = X2Face(backbone).to(device, memory_format=torch.channels_last).eval()

    def __call__(self, weights: dict[str, Tensor], out: Path) -> dict[str, float]:
        self._twin.load_state_dict(weights)
        row: dict[str, float] = {}
        for kind, batch in self._batches.items():
            found, made = judged(self._twin, batch)
            row |= {f"{kind}_{name}": value for name, value in found.items()}
            source = batch.source.repeat_interleave(ACTS_EACH, 0)
            picture = shown(source, batch.filmed, made * 255, batch.wanted)
            cv2.imwrite(str(out / f"sheet_{kind}.png"), picture)
        return row


def count(network: nn.Module, given: Tensor) -> tuple[int, int]:
    """Parameters and multiply-adds of convolutions, linear layers and places, for one picture or act."""
    adds = 0

    def look(layer: nn.Module, _: tuple[Tensor, ...], made: Tensor) -> None:
        nonlocal adds
        adds += layer.weight[0].numel() * made[0].numel()

    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    adds += sum(m.channels * m.maps.numel() for m in network.modules() if isinstance(m, Places))
    hooks = [layer.register_forward_hook(look) for layer in layers]
    with torch.no_grad():
        network.eval()(given)
    for hook in hooks:
        hook.remove()
    return sum(p.numel() for p in network.parameters()), adds


def dry_run(options: argparse.Namespace, batch: Batch) -> None:
    """Show what would be learned from, and by what."""
    source = batch.source.repeat_interleave(ACTS_EACH, 0)
    picture = shown(source, batch.filmed, batch.wanted)
    cv2.imwrite(str(options.out / "samples.png"), picture)
    network = X2Face(options.backbone)
    for name, part, given in (
        ("embedding", network.embedding, batch.source[:1]),
        ("driving", network.driving, batch.driver[:1]),
    ):
        parameters, adds = count(part, given)
        print(f"{options.backbone} {name}: {parameters:,} parameters, {adds / 1e6:.1f} M multiply-adds")
    print(f"{options.out / 'samples.png'}: source, a driver, wanted")


def main(given: list[str] | None = None) -> None:
    options = arguments(given)
    options.out.mkdir(parents=True, exist_ok=True)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = join(world)
    cv2.setNumThreads(1)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    packs = Packs(options.packs / "train")
    if options.dry_run:
        dry_run(options, packs.batch(np.random.default_rng(options.seed), 6, alone=False))
        return
    network = started(options, packs).to(device, memory_format=torch.channels_last).train()
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=options.rate, weight_decay=0.02, betas=(0.9, 0.99))
    average = MovingAverage(network)
    checkpoint = options.out / "checkpoint.pt"
    first, spent = restore(checkpoint, network, optimiser, average, device) if options.resume else (0, 0.0)
    wrapped = (
        nn.parallel.DistributedDataParallel(network, find_unused_parameters=True) if world > 1 else network
    )
    objective = Objective(options.loss, device)
    judge = Judge(options.packs, options.backbone, device)
    rng = np.random.default_rng((options.seed, rank, first))
    began, last = time.monotonic() - spent * 60, time.monotonic()
    settings = {key: str(value) for key, value in vars(options).items()}
    bar = tqdm(initial=first, unit="step", dynamic_ncols=True, mininterval=5.0, disable=rank > 0)
    for step in range(first, 1 << 40):
        minutes = (time.monotonic() - began) / 60
        progress = agreed(step / options.steps if options.steps else minutes / options.minutes, world, device)
        if rank == 0 and (progress >= 1.0 or time.monotonic() - last > options.every * 60):
            last = time.monotonic()
            save(checkpoint, network=network.state_dict(), average=average.state, optimiser=optimiser.state_dict(),
                 step=step, minutes=minutes, settings=settings)  # fmt: skip
            row = judge(average.state, options.out)
            append(options.out / "log.csv", {"step": step, "minutes": minutes, **row})
            tqdm.write(f"step {step} {minutes:.1f} min " + " ".join(f"{k}={v:.3f}" for k, v in row.items()))
        if progress >= 1.0:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate_at(progress, step, options.rate)
        alone, pictures = progress < options.alone, step % options.pictures == 0
        batch = packs.batch(rng, options.sources, alone, pictures=pictures).to(device)
        parts = objective(wrapped, batch, packs.told(rng, options.taught).to(device))
        learn(parts, optimiser, trained)
        average.update(network, step)
        bar.set_postfix({key: f"{value.item():.2f}" for key, value in parts.items()}, refresh=False)
        bar.update()
    if world > 1:
        torch.distributed.destroy_process_group()


def started(options: argparse.Namespace, packs: Packs) -> X2Face:
    """The networks as training begins."""
    network = X2Face(options.backbone)
    begin(network, packs)
    if options.start:
        print(f"{options.start}: {begin_with(network, options.start)} tensors taken over")
    return network


def learn(parts: dict[str, Tensor], optimiser: torch.optim.Optimizer, trained: list[nn.Parameter]) -> None:
    """One step down the sum of the losses."""
    optimiser.zero_grad(set_to_none=True)
    torch.stack(list(parts.values())).sum().backward()
    nn.utils.clip_grad_norm_(trained, 10.0)
    optimiser.step()


def agreed(progress: float, world: int, device: torch.device) -> float:
    """The first process' progress: clocks differ, and all must end at the same step."""
    if world == 1:
        return progress
    shared = torch.tensor(progress, device=device)
    torch.distributed.broadcast(shared, 0)
    return float(shared)


if __name__ == "__main__":
    main()
