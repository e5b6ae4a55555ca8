"""Export both networks of a backbone to ONNX, and refuse to when ONNX Runtime and PyTorch disagree.

    python -m engines.x2face.export --backbone unet [--checkpoint runs/x2face/unet/checkpoint.pt] [--packs runs/x2face/packs]

Writes x2face_embedding_<backbone>.onnx and x2face_driving_<backbone>.onnx. The moving average of the weights is exported; batch norms
are folded in, weights are stored as float16. The gate: the float32 graph within TOLERANCE of PyTorch on noise, the
stored file within TOLERANCE_STORED on generated people and acts, operators and shapes that TensorRT takes.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.export import OPSET, drawn, people, session, stored_as_half
from engines.tensorrt_operators import require
from engines.x2face.heads import GRID
from engines.x2face.network import BACKBONES, SIDE, SOURCE, Driving, Embedding, X2Face
from xpcam.face.embedded_face import canonical
from xpcam.face.head_crop import SIDE_FACTOR, in_crop
from xpcam.face.landmarks import LANDMARKS, apply_pose, face_mesh
from xpcam.frame import Pose

VERSION = "3.0"
TOLERANCE, TOLERANCE_STORED = 2e-4, 0.01  # of a grid from -1 to 1


class EmbeddingGraph(nn.Module):
    """uint8 (1, 256, 256, 3) -> grid (1, 128, 128, 2)."""

    title, entry = "embedding", "source"
    input = f"source: uint8 (1, {SOURCE}, {SOURCE}, 3) BGR head crop"
    about = "where each cell of the embedded face samples the source crop"

    def __init__(self, network: Embedding) -> None:
        super().__init__()
        self.network = network

    def forward(self, source: Tensor) -> Tensor:
        picture = F.avg_pool2d(source.float().permute(0, 3, 1, 2), SOURCE // SIDE)
        return self.network(picture)[0].permute(0, 2, 3, 1)

    def plain(self) -> list[np.ndarray]:
        """Inputs that anybody can make: noise and textures."""
        return [picture[None] for picture in drawn(SOURCE)]

    def likely(self) -> list[np.ndarray]:
        """Inputs like those of a run: generated people."""
        return [picture[None] for picture in people(SOURCE)]


class DrivingGraph(nn.Module):
    """float32 (1, 478, 2) -> grid (1, 128, 128, 2)."""

    title, entry = "driving", "landmarks"
    input = f"landmarks: float32 (1, {LANDMARKS}, 2) of the embedded face in the act, -1 to 1 over the head's crop"
    about = "where each cell of the output crop samples the embedded face"

    def __init__(self, network: Driving) -> None:
        super().__init__()
        self.network = network

    def forward(self, landmarks: Tensor) -> Tensor:
        return self.network(landmarks)[0].permute(0, 2, 3, 1)

    def plain(self) -> list[np.ndarray]:
        """Inputs that anybody can make: the embedded face, and the same shaken."""
        rng = np.random.default_rng(0)
        return [
            (canonical()[None] + rng.normal(0, much, (1, LANDMARKS, 2))).astype(np.float32)
            for much in (0, 0.01, 0.05)
        ]

    def likely(self) -> list[np.ndarray]:
        """Inputs like those of a run: acts of the embedded face."""
        rng, mesh = np.random.default_rng(1), face_mesh()
        rows = []
        for _ in range(12):
            weights = rng.uniform(0, 0.7, len(mesh.basis)) * (rng.random(len(mesh.basis)) < 0.2)
            turn = rng.normal(0, (0.12, 0.25, 0.1)).astype(np.float32)
            pose = Pose(turn, np.zeros(2, np.float32), 100.0)
            face = mesh.neutral + np.tensordot(weights.astype(np.float32), mesh.basis, axes=1)
            rows.append(in_crop(apply_pose(face, pose), pose)[None])
        return rows


Graph = EmbeddingGraph | DrivingGraph


def facts(graph: Graph, backbone: str, settings: dict[str, str], step: int) -> dict[str, str]:
    """The metadata of a file."""
    kept = ("seed", "steps", "loss")
    return {
        "name": f"x2face_{graph.title}",
        "version": VERSION,
        "licence": "Apache-2.0",
        "backbone": backbone,
        "crop": f"square about xpcam.face.head_crop.ANCHOR, side factor {SIDE_FACTOR}",
        "side_factor": str(SIDE_FACTOR),
        "tolerance": f"{TOLERANCE} as float32, {TOLERANCE_STORED} as stored",
        "opset": str(OPSET),
        "input": graph.input,
        "output": f"grid: float32 (1, {GRID}, {GRID}, 2), {graph.about}: x, y from -1 to 1 (align_corners=False)",
        "training": json.dumps({"step": step, **{key: settings[key] for key in kept}}),
    }


def to_onnx(graph: Graph, described: dict[str, str]) -> onnx.ModelProto:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        sample = torch.from_numpy(np.zeros_like(graph.plain()[0]))
        torch.onnx.export(
            graph, (sample,), str(path), input_names=[graph.entry], output_names=["grid"],
            opset_version=OPSET, dynamo=False,
        )  # fmt: skip
        model = onnx.load(path)
    helper.set_model_props(model, described)
    return model


def with_initialisers(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph, constants of more than a few numbers kept as initialisers, as weights are."""
    kept = []
    for node in model.graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None and numpy_helper.to_array(value).size > 64:
            value.name = node.output[0]
            model.graph.initializer.append(value)
        else:
            kept.append(node)
    del model.graph.node[:]
    model.graph.node.extend(kept)
    return model


def shortly_named(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph with short names within it: the exporter's are a tenth of the file."""
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    names: dict[str, str] = {"": ""}

    def short(name: str) -> str:
        return name if name in kept else names.setdefault(name, f"{len(names):x}")

    for initialiser in model.graph.initializer:
        initialiser.name = short(initialiser.name)
    for node in model.graph.node:
        node.name = ""
        node.input[:] = [short(name) for name in node.input]
        node.output[:] = [short(name) for name in node.output]
    del model.graph.value_info[:]
    return model


def difference(graph: Graph, model: onnx.ModelProto, inputs: list[np.ndarray]) -> float:
    """Largest absolute difference of a grid between PyTorch and ONNX Runtime."""
    run, worst = session(model), 0.0
    for given in inputs:
        with torch.no_grad():
            wanted = graph(torch.from_numpy(given)).numpy()
        got = run.run(None, {graph.entry: given})[0]
        worst = max(worst, float(np.abs(got - wanted).max()))
    return worst


def check(what: str, worst: float, tolerance: float) -> None:
    print(f"{what}: largest difference from PyTorch {worst:.2g} (<= {tolerance})")
    if not worst <= tolerance:
        raise SystemExit(f"{what}: differs from PyTorch by more than the tolerance; nothing was written")


def gated(graph: Graph, described: dict[str, str]) -> onnx.ModelProto:
    """The model as it is stored, after the gate."""
    graph.eval()
    model = to_onnx(graph, described)
    check(f"{graph.title}, float32 graph", difference(graph, model, graph.plain()), TOLERANCE)
    model = shortly_named(stored_as_half(with_initialisers(model)))
    check(f"{graph.title}, stored file", difference(graph, model, graph.likely()), TOLERANCE_STORED)
    onnx.checker.check_model(model)
    require(model)
    return model


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", choices=BACKBONES, default="unet")
    parser.add_argument("--checkpoint", type=Path, help="default: runs/x2face/<backbone>/checkpoint.pt")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent, help="folder")
    options = parser.parse_args()
    torch.set_num_threads(1)
    saved = torch.load(
        options.checkpoint or Path("runs/x2face") / options.backbone / "checkpoint.pt", weights_only=True
    )
    network = X2Face(options.backbone)
    network.load_state_dict(saved["average"])
    graphs: tuple[Graph, ...] = (EmbeddingGraph(network.embedding), DrivingGraph(network.driving))
    made = [
        (graph, gated(graph, facts(graph, options.backbone, saved["settings"], saved["step"])))
        for graph in graphs
    ]
    for graph, model in made:
        path = options.output / f"x2face_{graph.title}_{options.backbone}.onnx"
        path.write_bytes(model.SerializeToString())
        print(f"{path}: {path.stat().st_size / 1e6:.3f} MB, step {saved['step']}")


if __name__ == "__main__":
    main()
