"""Look at every picture of the packs with the layers that are not learned, once, through a webcam of its own.

    python -m engines.x2face.features --packs runs/x2face/packs/train --version 0 [--kind portraits]

Writes `features-<version>.npy` (P, I, K, 16, 16, 80) float16 beside each part's arrays: what `Reader.early` makes of
it, framed as `packs.viewed` says. Training then runs the learned layers only. A version is 41 kB a picture.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import torch
from torch import Tensor, nn
from tqdm import tqdm

from engines.face_params.arrays import Pixels
from engines.face_params.export import OPSET
from engines.x2face.network import SOURCE, X2Face
from engines.x2face.packs import Packs
from engines.x2face.start import begin


class Early(nn.Module):
    """(B, 256, 256, 3) uint8 -> (B, 16, 16, 80)."""

    def __init__(self, network: X2Face) -> None:
        super().__init__()
        self.reader = network.driving.reader

    def forward(self, driver: Tensor) -> Tensor:
        return self.reader.early(driver.permute(0, 3, 1, 2).float()).permute(0, 2, 3, 1)


def session() -> ort.InferenceSession:
    """The layers in ONNX Runtime, which takes a third of PyTorch's time."""
    network = X2Face("unet")
    begin(network)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    picture = torch.zeros(1, SOURCE, SOURCE, 3, dtype=torch.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "early.onnx")
        torch.onnx.export(
            Early(network).eval(), (picture,), path, input_names=["driver"], opset_version=OPSET, dynamo=False,
            dynamic_axes={"driver": {0: "batch"}},
        )  # fmt: skip
        return ort.InferenceSession(path, options, ["CPUExecutionProvider"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packs", type=Path, default=Path("runs/x2face/packs/train"))
    parser.add_argument("--kind", default="", help="only parts whose name begins so")
    parser.add_argument("--version", type=int, default=0)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    packs, layers = Packs(options.packs, options.kind), session()

    def look(pictures: list[Pixels]) -> np.ndarray:
        return layers.run(None, {"driver": np.stack(pictures)})[0].astype(np.float16)

    for part, folder in enumerate(tqdm(packs.parts, unit="part", dynamic_ncols=True)):
        rng = np.random.default_rng((options.version, part))
        path = folder / f"features-{options.version:02d}.npy"
        if path.is_file():
            continue
        kept = []
        for pack in range(packs.packs_of(part)):
            view = packs.view(part, pack, options.version)
            acts = range(len(view.wanted))
            rows = [
                look([packs.filmed(rng, part, pack, view, who, act) for act in acts])
                for who in range(len(view.driver))
            ]
            kept.append(np.stack(rows))
        unfinished = path.with_suffix(".part.npy")
        np.save(unfinished, np.stack(kept))
        unfinished.rename(path)


if __name__ == "__main__":
    main()
