"""Can TensorRT take a model? Operators, static shapes, opset.

    python -m engines.tensorrt_operators FILE.onnx ...

Every export calls `require` before it writes its file. The operators are those that ONNX-TensorRT lists as supported
for TensorRT 10.15 (docs/operators.md of github.com/onnx/onnx-tensorrt), and of its restrictions those that the networks
here could meet.
"""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime as ort
from onnx import TensorProto

TENSORRT = "10.15"  # whose list it is
OPSET = 17
LISTED = """
    Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization Cast CastLike Ceil
    Celu Clip Concat Constant ConstantOfShape Conv ConvTranspose Cos Cosh CumSum DeformConv DepthToSpace Div Einsum
    Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements GatherND Gelu Gemm GlobalAveragePool GlobalLpPool
    GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish Identity
    InstanceNormalization IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax LRN
    LpNormalization LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg Not Or Pad Pow PRelu
    Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum
    ReduceSumSquare Relu Reshape Resize Round Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice Softmax Softplus
    Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze
    Where Xor
"""
SUPPORTED = frozenset(LISTED.split())
RESIZE = {
    "coordinate_transformation_mode": {"half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"},
    "mode": {"nearest", "linear"},
    "nearest_mode": {"floor", "ceil", "round_prefer_floor", "round_prefer_ceil"},
}


def require(model: Any) -> None:
    """The last gate of an export: raises SystemExit, in one line, for a model that TensorRT would not take."""
    if found := problems(model):
        name = next((fact.value for fact in model.metadata_props if fact.key == "name"), model.graph.name)
        raise SystemExit(
            f"{name}: TensorRT {TENSORRT} would not take {'; '.join(found)}; nothing was written"
        )


def problems(model: Any) -> list[str]:
    """What of a file or an onnx.ModelProto TensorRT would not take, a line each; nothing where all is well."""
    if isinstance(model, Path):
        model = onnx.load(model)
    found = [
        f"opset {opset.version} of {opset.domain or 'ONNX'!r}"
        for opset in model.opset_import
        if opset.domain not in ("", "ai.onnx") or opset.version > OPSET
    ]
    return [*found, *_of_graph(model.graph), *_of_shapes(model)]


def _of_graph(graph: Any) -> Iterator[str]:
    raw = {value.name for value in graph.input if value.type.tensor_type.elem_type == TensorProto.UINT8}
    ranks = {value.name: len(value.type.tensor_type.shape.dim) for value in graph.input}
    for node in graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in SUPPORTED:
            yield f"operator {node.op_type}"
        if raw & set(node.input) and node.op_type != "Cast":
            yield f"{node.op_type} of uint8: cast it first"
        if node.op_type == "Resize":
            yield from _of_resize(node)
        if node.op_type == "GridSample" and ranks.get(node.input[0], 4) != 4:
            yield "GridSample of other than 4 dimensions"


def _of_resize(node: Any) -> Iterator[str]:
    for attribute in node.attribute:
        allowed = RESIZE.get(attribute.name)
        if allowed is not None and attribute.s.decode() not in allowed:
            yield f"Resize with {attribute.name} {attribute.s.decode()}"


def _of_shapes(model: Any) -> Iterator[str]:
    """Shapes that are not fixed once ONNX Runtime has folded what is constant, as it does before TensorRT sees it."""
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(Path(folder) / "folded.onnx")
        options.log_severity_level = 4
        ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        folded = onnx.shape_inference.infer_shapes(onnx.load(options.optimized_model_filepath))
    graph = folded.graph
    for value in [*graph.input, *graph.value_info, *graph.output]:
        if not all(dim.HasField("dim_value") for dim in value.type.tensor_type.shape.dim):
            yield f"{value.name} has no fixed shape"


def main() -> None:
    wrong = {path: found for path in map(Path, sys.argv[1:]) if (found := problems(path))}
    for path, found in wrong.items():
        print(f"{path}: {'; '.join(found)}", file=sys.stderr)
    raise SystemExit(1 if wrong or len(sys.argv) < 2 else 0)


if __name__ == "__main__":
    main()
