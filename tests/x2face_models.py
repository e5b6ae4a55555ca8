"""Tiny networks in place of X2Face's, for tests."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faces import Replay, face
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper, save

from xpcam import builders
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.warping.grids import CELLS, identity
from xpcam.x2face import driving, embedding, opening


def write_network(path: Path, name: str, side: int, moves: float) -> Path:
    """A network whose grid is the identity, moved sideways by `moves` times how bright the crop is."""
    still = numpy_helper.from_array(identity(CELLS)[None], "still")
    way = numpy_helper.from_array(np.array([moves / 255, 0.0], np.float32), "way")
    graph = helper.make_graph(
        [
            helper.make_node("Cast", [name], ["real"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["real"], ["mean"], axes=[1, 2, 3], keepdims=1),
            helper.make_node("Mul", ["mean", "way"], ["move"]),
            helper.make_node("Add", ["still", "move"], ["grid"]),
        ],
        "x2face",
        [helper.make_tensor_value_info(name, TensorProto.UINT8, [1, side, side, 3])],
        [helper.make_tensor_value_info("grid", TensorProto.FLOAT, [1, CELLS, CELLS, 2])],
        [still, way],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), str(path))
    return path


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks of both backbones whose grids move with the crop's brightness; a cache of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    for backbone in ("unet", "unet3plus"):
        write_network(folder / f"x2face_embedding_{backbone}.onnx", "source", embedding.SIDE, 0.0)
        write_network(folder / f"x2face_driving_{backbone}.onnx", "driver", driving.SIDE, 0.3)

    def model_of(part: str, backbone: str) -> Path:
        return folder / f"x2face_{part}_{backbone}.onnx"

    for module in (builders, opening):
        monkeypatch.setattr(module, "model_of", model_of)


class Network:
    """An engine that gives a grid, and counts how often it was asked."""

    def __init__(self, grid: Floats | None = None) -> None:
        self.grid = identity(CELLS) if grid is None else grid
        self.runs = 0
        self.seen: list[NDArray[Any]] = []

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        self.runs += 1
        self.seen += list(inputs.values())
        return {"grid": self.grid[None]}

    def opened(self) -> AbstractContextManager["Network"]:
        return nullcontext(self)


def aside(way: float) -> Floats:
    """A grid that samples everything further to the right, by a share of half the crop."""
    return identity(CELLS) + np.array([way, 0], np.float32)


class Sees(Replay):
    """A replay that holds the last face for a while, as the tracker does."""

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [face()]


def strained() -> FaceParams:
    """A face whose moment does not count for rest."""
    return replace(face(), expression=np.ones(52, np.float32))
