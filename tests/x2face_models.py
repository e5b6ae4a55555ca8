"""Tiny networks in place of X2Face's, for tests."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import Replay, face
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save

from xpcam import builders
from xpcam.errors import EngineError
from xpcam.face.embedded_face import canonical
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.warping.grids import CELLS, identity
from xpcam.x2face import embedding, opening

FOLLOWS = 3.0  # how far everything goes with the landmarks' mean


def write_embedding(path: Path, moves: float = 0.0) -> Path:
    """A network whose grid is the identity, moved sideways by `moves` times how bright the crop is."""
    side = embedding.SIDE
    return _write(
        path,
        helper.make_tensor_value_info("source", TensorProto.UINT8, [1, side, side, 3]),
        [
            helper.make_node("Cast", ["source"], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Mul", ["mean", "way"], ["move"]),
            helper.make_node("Add", ["still", "move"], ["grid"]),
        ],
        still=identity(CELLS)[None],
        way=np.array([moves / 255, 0.0], np.float32),
    )


def write_driving(path: Path) -> Path:
    """A network that moves everything as the landmarks' mean moves, only more."""
    return _write(
        path,
        helper.make_tensor_value_info("landmarks", TensorProto.FLOAT, [1, 478, 2]),
        [
            helper.make_node("ReduceMean", ["landmarks"], ["mean"], axes=[1], keepdims=1),
            helper.make_node("Sub", ["rest", "mean"], ["back"]),
            helper.make_node("Mul", ["back", "much"], ["move"]),
            helper.make_node("Add", ["still", "move"], ["grid"]),
        ],
        still=identity(CELLS)[None],
        rest=canonical().mean(axis=0),
        much=np.array(FOLLOWS, np.float32),
    )


def _write(path: Path, entry: Any, nodes: list[Any], **constants: Floats) -> Path:
    graph = helper.make_graph(
        nodes,
        "x2face",
        [entry],
        [helper.make_tensor_value_info("grid", TensorProto.FLOAT, [1, CELLS, CELLS, 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of both backbones, whose grids move with the landmarks; a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for backbone in ("unet", "unet3plus"):
        write_embedding(folder / f"x2face_embedding_{backbone}.onnx")
        write_driving(folder / f"x2face_driving_{backbone}.onnx")

    def model_of(part: str, backbone: str) -> Path:
        return folder / f"x2face_{part}_{backbone}.onnx"

    for module in (builders, opening):
        monkeypatch.setattr(module, "model_of", model_of)


class Network:
    """An engine that gives a grid, moved with the landmarks it is asked of; counts how often it was asked."""

    def __init__(self, grid: Floats | None = None) -> None:
        self.grid = identity(CELLS) if grid is None else grid
        self.broken = ""
        self.runs = 0
        self.seen: list[NDArray[Any]] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.runs += 1
        if self.broken:
            raise EngineError(self.broken)
        self.seen += list(inputs.values())
        if "landmarks" not in inputs:
            return {"grid": self.grid[None]}
        away = inputs["landmarks"][0].mean(axis=0) - canonical().mean(axis=0)
        return {"grid": (self.grid - np.float32(FOLLOWS) * away)[None]}

    def opened(self) -> AbstractContextManager["Network"]:
        return nullcontext(self)


def aside(way: float) -> Floats:
    """A grid that samples everything further to the right, by a share of half the crop."""
    return identity(CELLS) + np.array([way, 0], np.float32)


class Sees(Replay):
    """A replay that holds the last face for a while, as the tracker does."""

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [face()]
