"""A small .onnx file, for tests."""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save


def write_model(path: Path, shape: list[int | str], *, half: bool = False) -> Path:
    """A model that gives each channel's mean plus one; its constant may be stored as fp16."""
    stored = TensorProto.FLOAT16 if half else TensorProto.FLOAT
    one = numpy_helper.from_array(np.ones(1, np.float16 if half else np.float32), "one")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 2], keepdims=0),
            helper.make_node("Cast", ["one"], ["real_one"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["mean", "real_one"], ["result"]),
        ],
        "means",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("result", TensorProto.FLOAT, [shape[0], shape[3]])],
        [one],
    )
    assert one.data_type == stored
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"licence": "Apache-2.0"})
    save(model, str(path))
    return path
