"""Every .onnx file that ships is one that TensorRT can take."""

from pathlib import Path
from typing import Any

import pytest
from models import write_model
from onnx import TensorProto, helper, load, save

from engines.tensorrt_operators import TENSORRT, problems, require
from xpcam.resources import SHIPPED, shipped

ENGINES = Path(__file__).parent.parent / "engines"
FILES = sorted(ENGINES.glob("*/*.onnx"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_an_engine_is_fit_for_tensorrt(file: Path) -> None:
    assert problems(file) == []


def test_the_engines_that_ship_are_these() -> None:
    assert {shipped(name) for name in SHIPPED if name.endswith(".onnx")} == set(FILES) != set()


def test_a_shape_that_varies_is_found(tmp_path: Path) -> None:
    loose = write_model(tmp_path / "loose.onnx", ["batch", 8, 8, 3])
    assert "image has no fixed shape" in problems(load(loose))


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
        ("Bernoulli", TensorProto.FLOAT, 17, {}, ["operator Bernoulli"]),
        ("Transpose", TensorProto.UINT8, 17, {"perm": [0, 3, 1, 2]}, ["Transpose of uint8: cast it first"]),
        ("Cast", TensorProto.UINT8, 17, {"to": TensorProto.UINT8}, []),
        ("Resize", TensorProto.FLOAT, 17, {"mode": "linear"}, []),
        ("Resize", TensorProto.FLOAT, 17, {"mode": "cubic"}, ["Resize with mode cubic"]),
    ],
)
def test_each_rule_can_fail(
    operator: str, kind: int, opset: int, attributes: dict[str, Any], said: list[str], tmp_path: Path
) -> None:
    model = load(one_node(tmp_path / "one.onnx", operator, kind, opset, **attributes))
    assert problems(model) == said


def test_an_export_of_what_tensorrt_does_not_take_fails_in_one_line(tmp_path: Path) -> None:
    require(load(one_node(tmp_path / "good.onnx", "Relu", TensorProto.FLOAT)))
    with pytest.raises(SystemExit) as stopped:
        require(load(one_node(tmp_path / "bad.onnx", "Bernoulli", TensorProto.FLOAT)))
    said = f"Bernoulli: TensorRT {TENSORRT} would not take operator Bernoulli; nothing was written"
    assert stopped.value.code == said


def test_the_export_has_that_gate_before_it_writes() -> None:
    text = (ENGINES / "face_params" / "export.py").read_text(encoding="utf-8")
    assert 0 < text.find("require(model)") < text.find("write_bytes")
