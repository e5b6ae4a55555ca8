"""The networks of X2Face, by backbone: their files, what they take and give, and how they are opened."""

from pathlib import Path
from typing import Final, Literal

from xpcam.errors import EngineError
from xpcam.face.landmarks import LANDMARKS
from xpcam.inference.engine import Contract, Engine
from xpcam.inference.providers import Device
from xpcam.inference.tensor import Tensor
from xpcam.resources import SHIPPED, shipped
from xpcam.warping.grids import CELLS
from xpcam.x2face.embedding import SIDE

Part = Literal["embedding", "driving"]
Backbone = Literal["unet", "unet3plus"]

GRID: Final = {"grid": Tensor("float32", (1, CELLS, CELLS, 2))}
CONTRACTS: Final = {
    "embedding": Contract({"source": Tensor("uint8", (1, SIDE, SIDE, 3))}, GRID),
    "driving": Contract({"landmarks": Tensor("float32", (1, LANDMARKS, 2))}, GRID),
}


def model_of(part: Part, backbone: Backbone) -> Path:
    """A network's file. Raises EngineError: it does not come with this xpcam."""
    name = f"x2face_{part}_{backbone}.onnx"
    if name not in SHIPPED:
        raise EngineError(f"{name} does not come with this xpcam: wanted its networks; use --engine mesh")
    return shipped(name)


def open_network(part: Part, backbone: Backbone, device: Device, threads: int) -> Engine:
    """A network, loaded and warm. Raises EngineError."""
    return Engine(model_of(part, backbone), device=device, threads=threads, contract=CONTRACTS[part])
