"""Export a trained network to ONNX, and refuse to when ONNX Runtime and PyTorch disagree.

    python -m engines.face_params.export --net landmarks [--checkpoint runs/landmarks/checkpoint.pt] [--clips X.npz]

The moving average of the weights is exported; batch norms are folded in, weights are stored as float16 with a
Cast behind each (ONNX Runtime folds them when it loads the file). Two comparisons: the float32 graph within
TOLERANCE of PyTorch on noise, textures and faces, the stored file within TOLERANCES on faces.
With --clips the stored file is judged on labelled video, the figures of the model card. With --views hidden units
that never speak are left out, and both comparisons are with the whole network.
"""

import argparse
import copy
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.corners import CornerNet
from engines.face_params.evaluate import judge, load_clips
from engines.face_params.face_free import texture
from engines.face_params.network import CROP, DetectorNet, LandmarkNet
from engines.face_params.parameter_net import ParameterNet
from engines.face_params.warping import corner_reach, lip_sides
from engines.tensorrt_operators import require
from xpcam.face import landmarks as fl
from xpcam.inference.accuracy import TOLERANCES

VERSION = "2.3"
OPSET = 17
# Under doubt a network says the mean of all that could be: of the lip openings of speech 0.85, smoothed. The lips
# part by so much more.
LIP_GAIN = 1.1
# And of small openings it says that they are narrower than they are: wider by so much of the opening, up to such a one.
READ_WIDER, NARROWEST = 0.1, 13.0  # share, pixels of the crop (0.15 outer-eye distances)
TOLERANCE = {  # of the float32 graph; of the file that is stored: TOLERANCES
    "landmarks": 0.02,
    "confidence": 1e-4,
    "identity": 2e-3,
    "expression": 1e-3,
    "texture": 2e-3,
    "lighting": 1e-3,
    "score": 1e-4,
    "geometry": 1e-3,
}  # pixels, chances, standard deviations, weights, light, chances, cells


class FaceGraph(nn.Module):
    """uint8 (1, 256, 256, 3) -> landmarks (1, 478, 3) in crop pixels, confidence (1,), and what the face is made of."""

    outputs = ("landmarks", "confidence", "identity", "expression", "texture", "lighting")
    shape = (1, CROP, CROP, 3)
    title = "face_params"
    about = (
        "roll-aligned face crop, BGR; 478 landmarks in crop pixels, z negative towards the camera; identity and texture in "
        "standard deviations, expression ARKit weights, lighting spherical harmonics of xpcam.face_model"
    )

    def __init__(self) -> None:
        super().__init__()
        self.network = LandmarkNet(torch.zeros(478, 3))
        self.network.backbone.freeze_early()
        self.corners = CornerNet()
        self.parameters_of = ParameterNet(torch.zeros(478, 3))
        upper, lower = lip_sides()
        apart = (LIP_GAIN - 1) * (0.6 * lower - 0.4 * upper)
        self.register_buffer("apart", torch.tensor(apart, dtype=torch.float32).view(1, -1, 1))
        right, left = corner_reach()
        wider = np.zeros((1, fl.LANDMARKS, 3), np.float32)
        wider[..., 0] = (left - right) * READ_WIDER / 2
        self.register_buffer("wider", torch.from_numpy(wider))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        pixels = image.float().permute(0, 3, 1, 2)  # in this order: TensorRT takes uint8 only into a cast
        near, far, known, coarse, logit = self.network.look(pixels)
        landmarks = self.network.refine(pixels, coarse)
        opening = landmarks[:, 14:15] - landmarks[:, 13:14]
        wider = self.wider * (NARROWEST * torch.tanh(opening[..., 1:2] / NARROWEST))
        expressed = self.corners(pixels, landmarks, known) + self.apart * opening + wider
        return expressed, logit.sigmoid(), *self.parameters_of(near, far, landmarks)

    def leave_out_silent(self, known: Floats) -> None:
        """Keep those of the coarse pass's hidden units that spoke in any view (N, 256): nothing else is lost."""
        units = np.flatnonzero(known.max(axis=0) > 0)
        rest = np.arange(known.shape[1], self.corners.context.in_features)
        narrow(self.network.hidden, rows=units)
        for layer, columns in (
            (self.network.shape, units),
            (self.network.face, units),
            (self.corners.context, np.concatenate([units, rest])),
        ):
            narrow(layer, columns=columns)
        print(f"{len(units)} of {known.shape[1]} hidden units ever speak; the others are left out")


class DetectorGraph(nn.Module):
    """uint8 (1, 320, 320, 3) -> score (1, 1, 40, 40) in 0..1, geometry (1, 5, 40, 40)."""

    outputs = ("score", "geometry")
    shape = (1, 320, 320, 3)
    title = "face_detector"
    about = "picture letterboxed at the top left, BGR; per cell of 8 pixels score, offset x y, log side/32, sin cos roll"

    def __init__(self) -> None:
        super().__init__()
        self.network = DetectorNet()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        score, geometry = self.network(image.float().permute(0, 3, 1, 2))
        return score.sigmoid(), geometry


def narrow(layer: nn.Linear, rows: Floats | None = None, columns: Floats | None = None) -> None:
    """Keep some outputs or inputs of a layer."""
    with torch.no_grad():
        if rows is not None:
            layer.weight, layer.bias = nn.Parameter(layer.weight[rows]), nn.Parameter(layer.bias[rows])
        if columns is not None:
            layer.weight = nn.Parameter(layer.weight[:, columns])
    layer.out_features, layer.in_features = layer.weight.shape


GRAPHS: dict[str, Any] = {"landmarks": FaceGraph, "detector": DetectorGraph}


def stored_as_half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, every float initialiser of more than 64 numbers kept as float16 behind a Cast."""
    casts, kept = [], []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size <= 64:
            kept.append(tensor)
            continue
        name = tensor.name
        kept.append(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.initializer[:], model.graph.node[:]
    model.graph.initializer.extend(kept)
    model.graph.node.extend(nodes)
    return model


def to_onnx(graph: nn.Module, settings: dict[str, str], step: int) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        sample = torch.zeros(graph.shape, dtype=torch.uint8)
        torch.onnx.export(
            graph, (sample,), str(path), input_names=["image"], output_names=list(graph.outputs),
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        model = onnx.load(path)
    facts = {
        "name": graph.title,
        "version": VERSION,
        "licence": "Apache-2.0",
        "input": f"image: uint8 {graph.shape}, {graph.about}",
        "training": json.dumps({"step": step, "seed": settings["seed"], "minutes": settings["minutes"]}),
    }
    helper.set_model_props(model, facts)
    return model


def session(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 2
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def drawn(side: int) -> list[Pixels]:
    """Noise and textures: the hardest inputs to agree on."""
    rng = np.random.default_rng(7)
    noise = [rng.integers(0, 256, (side, side, 3), np.uint8) for _ in range(2)]
    return noise + [texture(rng, side) for _ in range(8)]


def people(side: int) -> list[Pixels]:
    """Generated people who were kept out of training, about as the network will see them."""
    import openpeople

    pictures = []
    for person in ("P008", "P009", "P010"):
        for asset in ("studio_portrait", "amateur_selfie"):
            picture = np.asarray(cv2.imread(str(openpeople.curated.get(person).asset_path(asset))))
            height, width = picture.shape[:2]
            for share in (0.5, 0.7):
                reach = int(min(height, width) * share / 2)
                y, x = int(height * 0.4), width // 2
                cut = picture[max(y - reach, 0) : y + reach, max(x - reach, 0) : x + reach]
                pictures.append(np.asarray(cv2.resize(cut, (side, side), interpolation=cv2.INTER_AREA)))
    return pictures


def difference(graph: nn.Module, model: onnx.ModelProto, pictures: list[Pixels]) -> dict[str, float]:
    """Largest absolute difference of each output between PyTorch and ONNX Runtime."""
    run = session(model)
    worst = dict.fromkeys(graph.outputs, 0.0)
    for picture in pictures:
        with torch.no_grad():
            wanted = graph(torch.from_numpy(picture[None]))
        got = run.run(None, {"image": picture[None]})
        for name, a, b in zip(graph.outputs, wanted, got, strict=True):
            worst[name] = max(worst[name], float(np.abs(a.numpy() - b).max()))
    return worst


def check(graph: nn.Module, model: onnx.ModelProto, stored: bool) -> None:
    what, tolerance = ("stored file", TOLERANCES) if stored else ("float32 graph", TOLERANCE)
    side = graph.shape[1]
    worst = difference(graph, model, people(side) if stored else drawn(side) + people(side))
    print(
        f"{what}: largest difference from PyTorch "
        + ", ".join(f"{k} {v:.2g} (<= {tolerance[k]})" for k, v in worst.items())
    )
    wrong = [name for name, value in worst.items() if not value <= tolerance[name]]
    if wrong:
        raise SystemExit(
            f"{what}: {', '.join(wrong)} differ from PyTorch by more than the tolerance; nothing was written"
        )


def judge_clips(model: onnx.ModelProto, file: Path) -> dict[str, float]:
    run = session(model)

    def predict(crops: Pixels) -> tuple[Floats, Floats]:
        results = [run.run(None, {"image": crop[None]}) for crop in crops]
        return np.concatenate([r[0] for r in results]), np.concatenate([r[1] for r in results])

    return judge(predict, *load_clips(file))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--net", choices=tuple(GRAPHS), default="landmarks")
    parser.add_argument("--checkpoint", type=Path, help="default: runs/<net>/checkpoint.pt")
    parser.add_argument("--parameters", type=Path, default=Path("runs/parameters/parameters.pt"))
    parser.add_argument("--corners", type=Path, default=Path("runs/corners/corners.pt"))
    parser.add_argument(
        "--views", type=Path, help="such as train_corners keeps: hidden units silent in all go"
    )
    parser.add_argument("--output", type=Path, help="default: beside this file")
    parser.add_argument("--clips", type=Path, help=".npz of labelled clips to judge the landmarks on")
    options = parser.parse_args()
    torch.set_num_threads(2)
    saved = torch.load(options.checkpoint or Path("runs") / options.net / "checkpoint.pt", weights_only=True)
    graph = GRAPHS[options.net]()
    graph.network.load_state_dict(saved["average"])
    if options.net == "landmarks":
        for part, file in ((graph.corners, options.corners), (graph.parameters_of, options.parameters)):
            part.load_state_dict(torch.load(file, weights_only=True)["average"])
    graph.eval()
    smaller = copy.deepcopy(graph)
    if options.views:
        smaller.leave_out_silent(np.load(options.views / "known.npy", mmap_mode="r"))
    model = to_onnx(smaller, saved["settings"], saved["step"])
    check(graph, model, stored=False)
    model = stored_as_half(model)
    check(graph, model, stored=True)
    onnx.checker.check_model(model)
    require(model)
    output = options.output or Path(__file__).with_name(f"{graph.title}.onnx")
    output.write_bytes(model.SerializeToString())
    print(f"{output}: {output.stat().st_size / 1e6:.2f} MB, step {saved['step']}")
    if options.clips and options.net == "landmarks":
        for key, value in judge_clips(model, options.clips).items():
            print(f"{key:22s} {value:.3f}")


if __name__ == "__main__":
    main()
