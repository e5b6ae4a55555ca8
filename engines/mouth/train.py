"""Train the generator of mouth interiors on the samples that `data` wrote.

    python -m engines.mouth.train --minutes 25 --seed 0 [--resume]

Two phases: pixels and features alone, kept as `plain.pt` for the ablation, then the two discriminators as well.
Writes to --out: `checkpoint.pt` (weights, moving average, critics, optimisers, step, settings), `log.csv`,
`predictions.png` (held-out mouths: what goes in, what is drawn, what is made, the truth).
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from engines.face_params.train import MovingAverage, append, imagenet_file, rate_at, save, sheet
from engines.mouth import losses
from engines.mouth.augmentation import Batch, batch_of, mirrored, recoloured, seen_again
from engines.mouth.network import Critics, Generator


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--minutes", type=float, default=25.0, help="wall-clock budget, start-up excluded")
    parser.add_argument("--steps", type=int, default=0, help="steps in place of --minutes: repeats exactly")
    parser.add_argument(
        "--plain", type=float, default=0.35, help="share of the budget without discriminators"
    )
    parser.add_argument(
        "--real", type=float, default=0.75, help="share of it after which nothing rendered is shown"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate of the generator")
    parser.add_argument("--critic-rate", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--vgg", type=Path, help="torchvision's VGG19 weights; without it EfficientNet-Lite0 judges"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/mouth"))
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from --out's checkpoint")
    return parser.parse_args()


class Samples:
    """All samples of a file, in memory; rendered ones apart from portraits' own mouths."""

    def __init__(self, file: Path) -> None:
        with np.load(file) as stored:
            self.planes, self.truth = torch.from_numpy(stored["planes"]), torch.from_numpy(stored["truth"])
            self.style = torch.from_numpy(stored["style"])
            self.own = np.flatnonzero(stored["own"])
        self.all = np.arange(len(self.truth))

    def take(self, rows: np.ndarray, device: torch.device) -> Batch:
        parts = (part[torch.from_numpy(rows)].to(device) for part in (self.planes, self.truth, self.style))
        return batch_of(*parts)


class Teacher:
    """Generator, critics and what teaches them."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.generator = Generator().to(device, memory_format=torch.channels_last)
        self.critics = Critics().to(device)
        self.perception = losses.Perception(imagenet_file(), options.vgg).to(device)
        self.device = device
        self.optimiser = torch.optim.AdamW(
            self.generator.parameters(), lr=options.rate, weight_decay=0.01, betas=(0.8, 0.99)
        )
        self.critic_optimiser = torch.optim.Adam(
            self.critics.parameters(), lr=options.critic_rate, betas=(0.5, 0.99)
        )

    def step(self, batch: Batch, adversary: bool, steady: bool) -> dict[str, Tensor]:
        """One step of both; the losses."""
        with torch.autocast(self.device.type, torch.bfloat16):
            made = self.generator(batch.planes, batch.style)
        made = made.float()
        whole = losses.composed(made, batch.truth, batch.mask)
        parts = {"pixels": losses.PIXELS * losses.pixels(made, batch.truth, batch.mask)}
        with torch.autocast(self.device.type, torch.bfloat16):
            parts["features"] = losses.PERCEPTION * self.perception(whole, batch.truth)
        if steady:
            with torch.autocast(self.device.type, torch.bfloat16):
                again = self.generator(seen_again(batch.planes), batch.style).float()
            parts["steady"] = losses.STEADY * losses.pixels(again, made, batch.mask)
        if adversary:
            parts |= self.against(whole, batch)
        total = torch.stack(list(parts.values())).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.generator.parameters(), 5.0)
        self.optimiser.step()
        if adversary:
            parts["critics"] = self.judge(whole.detach(), batch)
        return parts | {"total": total}

    def against(self, whole: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What the discriminators make of it: the generator's side."""
        self.critics.requires_grad_(False)
        with torch.autocast(self.device.type, torch.bfloat16):
            made = self.critics(whole, batch.mask)
            with torch.no_grad():
                real = self.critics(batch.truth, batch.mask)
        self.critics.requires_grad_(True)
        fooled = torch.stack([-maps[-1].float().mean() for maps in made]).sum()
        match = torch.stack([losses.matching(a, b) for a, b in zip(real, made, strict=True)]).sum()
        return {"adversary": losses.ADVERSARY * fooled, "matching": losses.MATCHING * match}

    def judge(self, whole: Tensor, batch: Batch) -> Tensor:
        """The discriminators' step."""
        with torch.autocast(self.device.type, torch.bfloat16):
            real = self.critics(batch.truth, batch.mask)
            made = self.critics(whole, batch.mask)
        loss = torch.stack([losses.verdict(a, b) for a, b in zip(real, made, strict=True)]).sum()
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        return loss


@torch.no_grad()
def held_out(network: nn.Module, held: Samples, out: Path, device: torch.device) -> dict[str, float]:
    """The loss on mouths never learned from, and a picture of some."""
    batch = held.take(held.all[:96], device)
    made = network(batch.planes, batch.style)
    shown = [
        torch.cat(
            [batch.planes[:, :3], batch.planes[:, 4:], losses.composed(image, batch.truth, batch.mask)], 2
        )
        for image in (batch.planes[:, 4:], made)
    ]
    column = torch.cat([shown[0][:, :, 256:], shown[1][:, :, 256:], batch.truth], dim=2)
    pictures = (column.clamp(0, 1) * 255).permute(0, 2, 3, 1).byte().cpu().numpy()
    cv2.imwrite(str(out / "predictions.png"), sheet(pictures[:48], 16))
    return {"held_pixels": float(losses.pixels(made, batch.truth, batch.mask))}


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    samples, held = Samples(options.samples / "train.npz"), Samples(options.samples / "test.npz")
    teacher = Teacher(options, device)
    average = MovingAverage(teacher.generator)
    twin = Generator().to(device, memory_format=torch.channels_last)
    checkpoint = options.out / "checkpoint.pt"
    first, spent = restore(checkpoint, teacher, average, device) if options.resume else (0, 0.0)
    rng = np.random.default_rng(options.seed + first)
    begin, judged, plain = time.monotonic() - spent * 60, time.monotonic(), spent > 0
    settings = {key: str(value) for key, value in vars(options).items()}
    settings["perception"] = teacher.perception.name
    bar = tqdm(initial=first, unit="step", dynamic_ncols=True, mininterval=2.0)
    means: dict[str, float] = {}
    for step in range(first, 1 << 40):
        minutes = (time.monotonic() - begin) / 60
        progress = step / options.steps if options.steps else minutes / options.minutes
        kept = {"step": step, "minutes": minutes, "settings": settings}
        if not plain and progress >= options.plain:
            save(options.out / "plain.pt", average=average.state, **kept)
            plain = True
        if progress >= 1.0 or time.monotonic() - judged > options.every * 60:
            judged = time.monotonic()
            twin.load_state_dict(average.state)
            row = held_out(twin.eval(), held, options.out, device)
            append(options.out / "log.csv", {"step": step, "minutes": minutes, **row, "loss": means["total"]})
            tqdm.write(f"step {step} {minutes:.1f} min {row} {means}")
            save(
                checkpoint, network=teacher.generator.state_dict(), average=average.state,
                critics=teacher.critics.state_dict(), optimiser=teacher.optimiser.state_dict(),
                critic_optimiser=teacher.critic_optimiser.state_dict(), **kept,
            )  # fmt: skip
        if progress >= 1.0:
            break
        for group in teacher.optimiser.param_groups:
            group["lr"] = rate_at(progress, step, options.rate)
        rows = rng.choice(samples.all if progress < options.real else samples.own, options.batch)
        batch = mirrored(recoloured(samples.take(rows, device)))
        parts = teacher.step(batch, adversary=progress >= options.plain, steady=step % 3 == 0)
        average.update(teacher.generator, step)
        for key, value in parts.items():
            means[key] = means.get(key, value.item()) * 0.98 + value.item() * 0.02
        bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()}, refresh=False)
        bar.update()


def restore(path: Path, teacher: Teacher, average: MovingAverage, device: torch.device) -> tuple[int, float]:
    """Load a checkpoint into place; the step and the minutes to go on from."""
    saved = torch.load(path, weights_only=True, map_location=device)
    teacher.generator.load_state_dict(saved["network"])
    teacher.critics.load_state_dict(saved["critics"])
    teacher.optimiser.load_state_dict(saved["optimiser"])
    teacher.critic_optimiser.load_state_dict(saved["critic_optimiser"])
    average.state = saved["average"]
    return saved["step"], saved["minutes"]


if __name__ == "__main__":
    main()
