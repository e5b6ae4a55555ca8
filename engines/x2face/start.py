"""What training begins with: ImageNet's features, our tracker's, or those of another run."""

from pathlib import Path

import torch
from torch import Tensor

from engines.face_params import warm_start
from engines.face_params.network import LandmarkNet
from engines.face_params.train import imagenet_file
from engines.x2face.network import X2Face
from xpcam.resources import shipped


def begin(network: X2Face, crops: Tensor | None = None) -> None:
    """ImageNet for the embedding network, the shipped tracker for the driving network.

    Args:
        crops: (B, 3, 256, 256) of heads, on which batch norms that were folded away are measured anew, to be trained.
    """
    network.embedding.encoder.load_imagenet(imagenet_file())
    tracker = LandmarkNet(torch.zeros(478, 3))
    tracker.backbone.freeze_early()
    warm_start.load_folded(tracker, shipped("face_params.onnx"))
    if crops is not None:
        warm_start.measure_norms(tracker, crops)
    network.driving.reader.take(tracker.backbone)


def begin_with(network: X2Face, path: Path) -> int:
    """Take the moving average of another run wherever name and shape are the same; how many tensors that were."""
    known = network.state_dict()
    found = torch.load(path, weights_only=True, map_location="cpu")["average"]
    for key, value in found.items():
        if value.dim() and key in known and known[key].shape == (4 * value.shape[0], *value.shape[1:]):
            found[key] = value.repeat_interleave(4, 0)  # each cell of a coarser grid becomes four
    fitting = {key: value for key, value in found.items() if key in known and known[key].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    return len(fitting)
