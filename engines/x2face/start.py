"""What training begins with: ImageNet's features, principal components, or the weights of another run."""

from pathlib import Path

import torch

from engines.face_params.train import imagenet_file
from engines.x2face.codes import begin_code
from engines.x2face.network import X2Face
from engines.x2face.packs import Packs


def begin(network: X2Face, packs: Packs) -> None:
    """ImageNet for the embedding network, how landmarks go together for the driving network."""
    network.embedding.encoder.load_imagenet(imagenet_file())
    begin_code(network.driving, packs)


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
