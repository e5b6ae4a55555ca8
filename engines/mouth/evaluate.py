"""What the interiors are worth, on held-out portraits whose lips are apart: erased, made anew, compared.

    python -m engines.mouth.evaluate [--model engines/mouth/mouth.onnx] [--checkpoints pixels.pt ...]

Inside the lips: mean absolute difference of 255, structural similarity (Wang et al., 2004; on grey, 7x7 windows),
and the distance between EfficientNet-Lite0 features of the crops, which also taught the generator. Beside the drawn
interior and the engine: the mean colour around the lips, OpenCV's inpainting, darkness, and the ablation's generators.
Flicker: what a trembling crop and opening change, of 255, on average inside.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.export import session
from engines.face_params.train import imagenet_file
from engines.mouth.augmentation import seen_again, tremble
from engines.mouth.export import MouthGraph, given
from engines.mouth.likeness import grey, similarity
from engines.mouth.losses import Perception, centre
from engines.mouth.train import FLESH
from xpcam.mouth.engine import applied

Fill = Callable[[Pixels, Floats], Floats]
"""(128, 128, 7) planes and (26,) style -> (128, 128, 3) interior, 0 to 255."""


@dataclass(frozen=True, slots=True)
class Held:
    """(N, 128, 128, 7) planes, (N, 26) styles, (N, 128, 128, 3) truth."""

    planes: np.ndarray
    styles: np.ndarray
    truth: np.ndarray


BATCH = 29
SEEN = 60  # pixels of opening that a mouth must have to be judged


def mean_colour(planes: Pixels, _style: Floats) -> Floats:
    ring = (cv2.dilate(planes[..., 3], np.ones((15, 15))) > 0) & (planes[..., 3] == 0)
    return np.broadcast_to(planes[..., :3][ring].mean(axis=0), (*planes.shape[:2], 3)).astype(np.float32)


def telea(planes: Pixels, _style: Floats) -> Floats:
    crop, mask = np.ascontiguousarray(planes[..., :3]), np.asarray((planes[..., 3] > 0) * np.uint8(255))
    return np.asarray(cv2.inpaint(crop, mask, 5, cv2.INPAINT_TELEA), np.float32)


def darkness(planes: Pixels, style: Floats) -> Floats:
    """What `--interior dark` shows."""
    mask = (planes[..., 3] > 0).astype(np.float32)
    depth = cv2.GaussianBlur(mask, (0, 0), max(2.0, 0.05 * float(np.ptp(np.nonzero(mask)[1]))))[..., None]
    flesh, throat = style[15:18] * 255, style[18:21] * 255
    return np.asarray(flesh + (throat - flesh) * np.minimum(depth * depth * 1.3, 1.0), np.float32)


def drawn(planes: Pixels, _style: Floats) -> Floats:
    return planes[..., 4:].astype(np.float32)


def exported(model: Path) -> Fill:
    import onnx

    run = session(onnx.load(model))
    return lambda planes, style: applied(
        run.run(None, {"image": planes[None], "style": style[None]})[0][0],
        planes[..., 4:].astype(np.float32),
        len(planes),
    )


def trained(checkpoint: Path, *, blank: bool = False) -> Fill:
    graph = MouthGraph()
    graph.generator.load_state_dict(torch.load(checkpoint, weights_only=True)["average"])
    graph.eval()

    @torch.no_grad()
    def fill(planes: Pixels, style: Floats) -> Floats:
        if blank:  # the colour of flesh in the place of the drawing
            planes = planes.copy()
            planes[..., 4:] = (planes[..., 3:4] > 0) * (style[FLESH] * 255).astype(np.uint8)
        transfer = graph(torch.from_numpy(planes[None]), torch.from_numpy(style[None]))[0].numpy()
        return applied(transfer, planes[..., 4:].astype(np.float32), len(planes))

    return fill


def composed(planes: Pixels, made: Floats, truth: Pixels) -> Pixels:
    """The truth with the made interior in its opening."""
    share = planes[..., 3:4].astype(np.float32) / 255
    return np.asarray(truth + (made - truth) * share, np.float32).clip(0, 255).astype(np.uint8)


def noticed(fill: Fill, planes: Pixels, style: Floats) -> float:
    """Mean absolute change inside the opening when the same face is seen a moment later."""
    unit = torch.from_numpy(planes[None]).permute(0, 3, 1, 2).float() / 255
    moved = tremble(1, planes.shape[0])
    again = (seen_again(unit, moved) * 255).round().byte().permute(0, 2, 3, 1).numpy()[0]
    first = torch.from_numpy(fill(planes, style)).permute(2, 0, 1)[None]
    second = fill(np.ascontiguousarray(again), style)
    inside = moved.of(unit[:, 3:4])[0, 0].numpy() > 0.99
    return float(np.abs(moved.of(first)[0].permute(1, 2, 0).numpy() - second)[inside].mean())


def judge(fill: Fill, held: Held, perception: Perception) -> dict[str, float]:
    """The measures of one way to fill, averaged over the held-out mouths."""
    rows, pictures = [], []
    for planes, truth, style in zip(held.planes, held.truth, held.styles, strict=True):
        inside = planes[..., 3] > 127
        if inside.sum() < SEEN:
            continue
        made = composed(planes, fill(planes, style), truth)
        pictures.append((made, truth))
        off = np.abs(made.astype(np.float32) - truth)[inside].mean()
        alike = similarity(grey(made), grey(truth))[inside].mean()
        rows.append((off, alike, noticed(fill, planes, style)))
    found = dict(zip(("L1", "SSIM", "flicker"), np.mean(rows, axis=0).tolist(), strict=True))
    return found | {"features": far(pictures, perception)}


@torch.no_grad()
def far(pairs: list[tuple[Pixels, Pixels]], perception: Perception) -> float:
    """Mean distance of the features of made and true lips."""
    distances = []
    for first in range(0, len(pairs), BATCH):
        some = np.stack([np.stack(pair) for pair in pairs[first : first + BATCH]])
        unit = centre(torch.from_numpy(some).permute(1, 0, 4, 2, 3).float() / 255)
        distances.append(float(perception(unit[0], unit[1])) * len(some))
    return sum(distances) / len(pairs)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("mouth.onnx"))
    parser.add_argument("--checkpoints", type=Path, nargs="*", default=[], help="of the ablation")
    options = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(1)
    with np.load(options.samples / "test.npz") as stored:
        held = Held(*given(options.samples / "test.npz"), stored["truth"])
    ways: dict[str, Fill] = {
        "mean colour": mean_colour, "Telea": telea, "darkness": darkness, "drawn": drawn
    }  # fmt: skip
    for name in options.checkpoints:
        ways[name.stem] = trained(name, blank="blank" in name.stem)
    if options.model.is_file():
        ways["engine"] = exported(options.model)
    perception = Perception(imagenet_file())
    print("| filled with | L1 | SSIM | features | flicker |\n| --- | --- | --- | --- | --- |")
    for name, fill in ways.items():
        found = judge(fill, held, perception)
        print(
            f"| {name} | {found['L1']:.1f} | {found['SSIM']:.3f} | {found['features']:.3f} | {found['flicker']:.2f} |"
        )


if __name__ == "__main__":
    main()
