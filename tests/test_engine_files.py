"""Every .onnx file that ships is one that TensorRT can take."""

from pathlib import Path
from typing import Any

import pytest
from models import write_model
from onnx import TensorProto, helper, save

from engines.tensorrt_operators import problems
from xpcam.resources import SHIPPED, shipped

FILES = [name for name in SHIPPED if name.endswith(".onnx")]


@pytest.mark.parametrize("name", FILES)
def test_a_shipped_engine_is_fit_for_tensorrt(name: str) -> None:
    assert problems(shipped(name)) == []


def test_the_engines_are_among_them() -> None:
    assert {"face_params.onnx", "face_detector.onnx"} <= set(FILES)


def test_a_shape_that_varies_is_found(tmp_path: Path) -> None:
    loose = write_model(tmp_path / "loose.onnx", ["batch", 8, 8, 3])
    assert "image has no fixed shape" in problems(loose)


def one_node(path: Path, operator: str, kind: int, opset: int = 17, **attributes: Any) -> Path:
    """A model of one operator on a (1, 4, 4, 4) tensor."""
    names = ["x", "", "scales"] if operator == "Resize" else ["x"]
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 1.0, 1.0])
    graph = helper.make_graph(
        [helper.make_node(operator, names, ["y"], **attributes)],
        operator,
        [helper.make_tensor_value_info("x", kind, [1, 4, 4, 4])],
        [helper.make_tensor_value_info("y", kind, [1, 4, 4, 4])],
        [scales] if operator == "Resize" else [],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8), str(path))
    return path


@pytest.mark.parametrize(
    ("operator", "kind", "opset", "attributes", "said"),
    [
        ("Relu", TensorProto.FLOAT, 17, {}, []),
        ("Relu", TensorProto.FLOAT, 18, {}, ["opset 18 of 'ONNX'"]),
        ("Hardmax", TensorProto.FLOAT, 17, {}, ["operator Hardmax"]),
        ("Transpose", TensorProto.UINT8, 17, {"perm": [0, 3, 1, 2]}, []),
        ("Identity", TensorProto.UINT8, 17, {}, ["Identity of uint8"]),
        ("Resize", TensorProto.FLOAT, 17, {"mode": "linear"}, []),
        ("Resize", TensorProto.FLOAT, 17, {"mode": "cubic"}, ["Resize with mode cubic"]),
    ],
)
def test_each_rule_can_fail(
    operator: str, kind: int, opset: int, attributes: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    assert problems(one_node(tmp_path / "one.onnx", operator, kind, opset, **attributes)) == said
