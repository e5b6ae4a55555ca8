"""Average a trained landmark network with the one it started from.

    python -m engines.face_params.blend --start face_params.onnx --checkpoint runs/landmarks/checkpoint.pt --share 0.6

Training on labels of another kind gains what they teach and loses some of what was known; between the two
lies a network that keeps more of both (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). Batch
norms are folded in first: statistics of different weights cannot be averaged. Writes a checkpoint that
`train_parameters` and `export` take.
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor

from engines.face_params import warm_start
from engines.face_params.network import LandmarkNet


def empty() -> LandmarkNet:
    network = LandmarkNet(torch.zeros(478, 3))
    network.backbone.freeze_early()
    return network.eval()


def started_from(path: Path) -> dict[str, Tensor]:
    """The weights of an exported engine, batch norms passing everything on."""
    network = empty()
    warm_start.load_folded(network, path)
    return network.state_dict()


def folded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A trained state, its batch norms folded into the convolutions before them."""
    network = empty()
    network.load_state_dict(state)
    with torch.no_grad():
        for convolution, norm in warm_start.norms(network).items():
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            bias = norm.bias - norm.running_mean * scale
            convolution.weight.mul_(scale.view(-1, 1, 1, 1))
            warm_start.pass_on(norm, bias)
    return network.state_dict()


def blended(first: dict[str, Tensor], second: dict[str, Tensor], share: float) -> dict[str, Tensor]:
    """`share` of the way from the first state to the second."""
    return {
        name: value.lerp(second[name], share) if value.dtype.is_floating_point else value
        for name, value in first.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--start", type=Path, required=True, help="the .onnx that training started from")
    parser.add_argument("--checkpoint", type=Path, required=True, help="what came of it")
    parser.add_argument("--share", type=float, default=0.6, help="of the way from the former to the latter")
    parser.add_argument("--output", type=Path, default=Path("runs/landmarks/blended.pt"))
    options = parser.parse_args()
    saved = torch.load(options.checkpoint, weights_only=True)
    state = blended(started_from(options.start), folded(saved["average"]), options.share)
    torch.save({"average": state, "settings": saved["settings"], "step": saved["step"]}, options.output)
    print(f"{options.output}: {options.share:.0%} of the way from {options.start} to step {saved['step']}")


if __name__ == "__main__":
    main()
