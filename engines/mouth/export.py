"""Export the trained generator to ONNX, and refuse to when ONNX Runtime and PyTorch disagree.

    python -m engines.mouth.export [--checkpoint runs/mouth/checkpoint.pt] [--other runs/pixels/checkpoint.pt]

The moving average of the weights is exported, or what lies between it and another run's that was taken up from the same
checkpoint (ESRGAN's network interpolation, Wang et al., ECCV workshops 2018); batch norms are folded in, weights are
stored as float16.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper
from torch import Tensor, nn

from engines.face_params.blend import blended
from engines.face_params.export import OPSET, session, stored_as_half
from engines.mouth.network import PLANES, STYLE, Generator
from engines.tensorrt_operators import require
from xpcam.inference.accuracy import TOLERANCES
from xpcam.mouth.engine import planes
from xpcam.mouth.proxy import CROP
from xpcam.mouth.showing import shown_by

VERSION = "1.1"
SHARE = 0.5
TOLERANCE = 0.02  # of 255: the float32 graph on noise; the stored file, on mouths, has `accuracy.TOLERANCES`


class MouthGraph(nn.Module):
    """uint8 (1, 128, 128, 7) and style (1, 26) -> transfer (1, 64, 64, 6), of 255."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = Generator()

    def forward(self, image: Tensor, style: Tensor) -> Tensor:
        planes = image.float().permute(0, 3, 1, 2) / 255  # cast first: TensorRT turns no uint8
        return (self.generator(planes, style) * 255).permute(0, 2, 3, 1)


def to_onnx(graph: nn.Module, settings: dict[str, str], step: int) -> onnx.ModelProto:
    inputs = (torch.zeros(1, CROP, CROP, PLANES, dtype=torch.uint8), torch.zeros(1, STYLE))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        torch.onnx.export(
            graph, inputs, str(path), input_names=["image", "style"], output_names=["transfer"],
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        model = onnx.load(path)
    facts = {
        "name": "mouth",
        "version": VERSION,
        "licence": "Apache-2.0",
        "input": "image: uint8, crop of the mouth BGR white inside the lips, mask, drawn interior BGR; "
        "style: Style.vector, showing.shown_by",
        "training": json.dumps({"step": step, **{k: settings[k] for k in ("seed", "minutes", "perception")}}),
    }
    helper.set_model_props(model, facts)
    return model


def difference(graph: nn.Module, model: onnx.ModelProto, images: np.ndarray, styles: np.ndarray) -> float:
    """Largest absolute difference between PyTorch and ONNX Runtime, of 255."""
    run, worst = session(model), 0.0
    for image, style in zip(images, styles, strict=True):
        with torch.no_grad():
            wanted = graph(torch.from_numpy(image[None]), torch.from_numpy(style[None])).numpy()
        got = run.run(None, {"image": image[None], "style": style[None]})[0]
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/mouth/checkpoint.pt"))
    parser.add_argument("--other", type=Path, help="a checkpoint to average it with")
    parser.add_argument("--share", type=float, default=SHARE, help="of the other one")
    parser.add_argument("--samples", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("mouth.onnx"))
    options = parser.parse_args()
    torch.set_num_threads(2)
    saved = torch.load(options.checkpoint, weights_only=True)
    graph = MouthGraph()
    state = saved["average"]
    if options.other:
        state = blended(state, torch.load(options.other, weights_only=True)["average"], options.share)
    graph.generator.load_state_dict(state)
    graph.eval()
    model = to_onnx(graph, saved["settings"], saved["step"])
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (4, CROP, CROP, PLANES), np.uint8)
    mouths, styles = given(options.samples / "test.npz", 24)
    check("float32 graph", difference(graph, model, noise, rng.random((4, STYLE), np.float32)), TOLERANCE)
    model = stored_as_half(model)
    check("stored file", difference(graph, model, mouths, styles), TOLERANCES["transfer"])
    onnx.checker.check_model(model)
    require(model)
    options.output.write_bytes(model.SerializeToString())
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.2f} MB, step {saved['step']}")


def given(file: Path, most: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(N, 128, 128, 7) planes and (N, 26) styles of samples, as the product would give them to the engine."""
    with np.load(file) as held:
        parts = [held[name][:most] for name in ("truth", "mask", "drawn")]
        styles = np.concatenate([held["style"], shown_by(held["shape"])], axis=1)[:most]
    rows = zip(*parts, strict=True)
    made = [planes(truth, mask.astype(np.float32) / 255, drawn) for truth, mask, drawn in rows]
    return np.stack(made), styles


def check(what: str, worst: float, tolerance: float) -> None:
    print(f"{what}: largest difference from PyTorch {worst:.2g} of 255 (<= {tolerance})")
    if not worst <= tolerance:
        raise SystemExit(f"{what}: differs from PyTorch by more than the tolerance; nothing was written")


if __name__ == "__main__":
    main()
