"""Train the generator of mouth interiors on the samples that `data` wrote.

    python -m engines.mouth.train --minutes 25 --seed 0 [--resume | --begin CHECKPOINT]

Two phases: pixels, structure and features alone, kept as `plain.pt`, then the two discriminators as well (never with
--plain 1, which the shipped weights were made with). The ablation's rows: --losses pixels or structure (with it),
--blank, --share 0 or 1 --real 1.
Writes to --out: `checkpoint.pt` (weights, moving average, critics, optimisers, step, settings), `log.csv`,
`predictions.png` (held-out mouths: what goes in, what is drawn, what is made, the truth).
"""

import argparse
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from engines.face_params.train import MovingAverage, append, imagenet_file, rate_at, save, sheet
from engines.mouth import losses
from engines.mouth.augmentation import Batch, batch_of, mirrored, recoloured, seen_again, tremble
from engines.mouth.network import Critics, Generator, applied
from xpcam.mouth.showing import usual

FLESH, UPPER = slice(15, 18), 23  # their places in the style
VAGUE, UNTOLD = 0.06, 0.15  # how roughly what a mouth shows is told in training, and how often it is not


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--minutes", type=float, default=25.0, help="wall-clock budget, start-up excluded")
    parser.add_argument("--steps", type=int, default=0, help="steps in place of --minutes: repeats exactly")
    parser.add_argument("--plain", type=float, default=0.5, help="share of it without discriminators")
    parser.add_argument("--share", type=float, default=0.4, help="share of rendered mouths")
    parser.add_argument(
        "--real", type=float, default=0.75, help="share of it after which a third as many are"
    )
    parser.add_argument("--losses", choices=("all", "structure", "pixels"), default="all")
    parser.add_argument(
        "--blank", action="store_true", help="nothing is drawn: the colour of flesh in its place"
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="highest learning rate of the generator")
    parser.add_argument("--critic-rate", type=float, default=4e-4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--vgg", type=Path, help="torchvision's VGG19 weights; without it EfficientNet-Lite0 judges"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/mouth"))
    parser.add_argument("--every", type=float, default=4.0, help="minutes between checkpoints")
    parser.add_argument("--resume", action="store_true", help="go on from --out's checkpoint")
    parser.add_argument("--begin", type=Path, help="take up this checkpoint; schedule and budget begin anew")
    for name, weight in asdict(losses.Weights()).items():
        parser.add_argument(f"--{name}", type=float, default=weight, help="weight of that loss")
    return parser.parse_args()


class Samples:
    """All samples of a file, in memory."""

    def __init__(self, file: Path, blank: bool = False) -> None:
        with np.load(file) as stored:
            parts = {name: torch.from_numpy(stored[name]) for name in stored}
        self.truth, self.mask, self.drawn = parts["truth"], parts["mask"], parts["drawn"]
        self.style, self.shown = parts["style"], parts["shown"]
        self.usual = torch.from_numpy(usual(parts["shape"].numpy()))
        if blank:
            self.drawn = (self.style[:, None, None, FLESH] * 255).byte().expand_as(self.truth)
        self.count = len(self.truth)

    def take(self, rows: np.ndarray, *, told: bool) -> Batch:
        """A batch; `told` what its mouths show, mostly and roughly, or what mouths of their shape show."""
        at = torch.from_numpy(rows)
        shown = self.usual[at]
        if told:
            known = self.shown[at] + torch.randn(len(at), shown.shape[1]) * VAGUE
            shown = torch.where(torch.rand(len(at), 1) < UNTOLD, shown, known)
        style = torch.cat([self.style[at], shown], dim=1)
        return batch_of(self.truth[at], self.mask[at], self.drawn[at], style)


@dataclass(frozen=True, slots=True)
class Mixture:
    """Photographs and rendered mouths."""

    own: Samples
    rendered: Samples

    def batch(self, rng: np.random.Generator, count: int, share: float) -> Batch:
        """A batch with such a share of rendered mouths."""
        made = int(rng.binomial(count, share))
        parts = [
            some.take(rng.integers(some.count, size=size), told=True)
            for some, size in ((self.own, count - made), (self.rendered, made))
            if size
        ]
        order = torch.from_numpy(rng.permutation(count))
        return Batch(*(torch.cat([getattr(part, f.name) for part in parts])[order] for f in fields(Batch)))


class Teacher:
    """Generator, critics and what teaches them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.generator = Generator().to(memory_format=torch.channels_last)
        self.critics = Critics()
        self.losses = options.losses
        self.weights = losses.Weights(**{f.name: getattr(options, f.name) for f in fields(losses.Weights)})
        self.perception = losses.Perception(imagenet_file(), options.vgg)
        self.optimiser = torch.optim.AdamW(
            self.generator.parameters(), lr=options.rate, weight_decay=0.01, betas=(0.8, 0.99)
        )
        self.critic_optimiser = torch.optim.Adam(
            self.critics.parameters(), lr=options.critic_rate, betas=(0.5, 0.99)
        )

    def made(self, planes: Tensor, style: Tensor) -> Tensor:
        """(B, 3, 128, 128) the interior."""
        laid = planes.contiguous(memory_format=torch.channels_last)
        with half():
            transfer = self.generator(laid, style)
        return applied(transfer, planes[:, 4:])

    def step(self, batch: Batch, adversary: bool, steady: bool) -> dict[str, Tensor]:
        """One step of both; the losses."""
        made = self.made(batch.planes, batch.style)
        parts = {"pixels": self.weights.pixels * losses.pixels(made, batch.truth, batch.mask)}
        whole = losses.composed(made, batch.truth, batch.mask)
        if self.losses == "structure":
            parts["structure"] = self.weights.structure * losses.structure(whole, batch.truth, batch.mask)
        if self.losses == "all":
            parts |= self.likeness(whole, batch)
        if steady and self.losses == "all":
            moved = tremble(len(made), made.shape[-1])
            again = self.made(seen_again(batch.planes, moved), batch.style)
            parts["steady"] = self.weights.steady * losses.pixels(again, moved.of(made), moved.of(batch.mask))
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

    def likeness(self, whole: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Structure, and features of the lips and what is near, of every third mouth."""
        with half():
            features = self.perception(losses.centre(whole[::3]), losses.centre(batch.truth[::3]))
        drawn = batch.planes[:, 4:]
        return {
            "trust": self.weights.trust * losses.trust(whole, drawn, batch.mask, batch.style[:, UPPER]),
            "structure": self.weights.structure * losses.structure(whole, batch.truth, batch.mask),
            "features": self.weights.perception * features,
        }

    def verdicts(self, picture: Tensor, mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        with half():
            return self.critics(losses.centre(picture), losses.centre(mask))

    def against(self, whole: Tensor, batch: Batch) -> dict[str, Tensor]:
        """What the discriminators make of it: the generator's side."""
        self.critics.requires_grad_(False)
        made = self.verdicts(whole, batch.mask)
        with torch.no_grad():
            real = self.verdicts(batch.truth, batch.mask)
        self.critics.requires_grad_(True)
        fooled = torch.stack([-maps[-1].float().mean() for maps in made]).sum()
        match = torch.stack([losses.matching(a, b) for a, b in zip(real, made, strict=True)]).sum()
        return {"adversary": self.weights.adversary * fooled, "matching": self.weights.matching * match}

    def judge(self, whole: Tensor, batch: Batch) -> Tensor:
        """The discriminators' step."""
        real, made = self.verdicts(batch.truth, batch.mask), self.verdicts(whole, batch.mask)
        loss = torch.stack([losses.verdict(a, b) for a, b in zip(real, made, strict=True)]).sum()
        self.critic_optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.critic_optimiser.step()
        return loss


def half() -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16)


@torch.no_grad()
def held_out(network: nn.Module, held: Samples, out: Path) -> dict[str, float]:
    """The loss on mouths never learned from, and a picture of some."""
    batch = held.take(np.arange(min(held.count, 96)), told=False)
    made = applied(network(batch.planes, batch.style), batch.planes[:, 4:])
    drawn, whole = (losses.composed(image, batch.truth, batch.mask) for image in (batch.planes[:, 4:], made))
    column = torch.cat([drawn, whole, batch.truth], dim=2)
    pictures = (column.clamp(0, 1) * 255).permute(0, 2, 3, 1).byte().numpy()
    cv2.imwrite(str(out / "predictions.png"), sheet(pictures[:48], 16))
    return {
        "held_pixels": float(losses.pixels(made, batch.truth, batch.mask)),
        "held_structure": float(losses.structure(whole, batch.truth, batch.mask)),
    }


def main() -> None:
    options = arguments()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    parts = (Samples(options.samples / f"{name}.npz", options.blank) for name in ("photographs", "rendered"))
    mixture = Mixture(*parts)
    held = Samples(options.samples / "test.npz", options.blank)
    teacher = Teacher(options)
    average = MovingAverage(teacher.generator)
    twin = Generator().to(memory_format=torch.channels_last)
    checkpoint = options.out / "checkpoint.pt"
    start = restore(options.begin, teacher, average)[0] if options.begin else 0
    first, spent = restore(checkpoint, teacher, average) if options.resume else (start, 0.0)
    rng = np.random.default_rng(options.seed + first)
    begin, judged, plain = time.monotonic() - spent * 60, time.monotonic(), spent > 0
    settings = {key: str(value) for key, value in vars(options).items()}
    settings["perception"] = teacher.perception.name
    bar = tqdm(initial=first, unit="step", dynamic_ncols=True, mininterval=2.0)
    means: dict[str, float] = {}
    for step in range(first, 1 << 40):
        minutes = (time.monotonic() - begin) / 60
        progress = (step - start) / options.steps if options.steps else minutes / options.minutes
        kept = {"step": step, "minutes": minutes, "settings": settings}
        if not plain and progress >= options.plain:
            save(options.out / "plain.pt", average=average.state, **kept)
            plain = True
        if progress >= 1.0 or time.monotonic() - judged > options.every * 60:
            judged = time.monotonic()
            twin.load_state_dict(average.state)
            row = held_out(twin.eval(), held, options.out)
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
            group["lr"] = rate_at(progress, step - start, options.rate)
        share = options.share if progress < options.real else options.share / 3
        batch = mirrored(recoloured(mixture.batch(rng, options.batch, share)))
        adversary = progress >= options.plain and options.losses == "all"
        losses_of = teacher.step(batch, adversary, steady=step % 3 == 0)
        average.update(teacher.generator, step)
        for key, value in losses_of.items():
            means[key] = means.get(key, value.item()) * 0.98 + value.item() * 0.02
        bar.set_postfix({key: f"{value:.3f}" for key, value in means.items()}, refresh=False)
        bar.update()


def restore(path: Path, teacher: Teacher, average: MovingAverage) -> tuple[int, float]:
    """Load a checkpoint into place; the step and the minutes to go on from."""
    saved = torch.load(path, weights_only=True)
    teacher.generator.load_state_dict(saved["network"])
    teacher.critics.load_state_dict(saved["critics"])
    teacher.optimiser.load_state_dict(saved["optimiser"])
    teacher.critic_optimiser.load_state_dict(saved["critic_optimiser"])
    average.state = saved["average"]
    return saved["step"], saved["minutes"]


if __name__ == "__main__":
    main()
