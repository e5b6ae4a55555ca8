"""Machines with and without GPUs, for tests: what ctypes would load, and what was found."""

from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort

from xpcam.inference.preflight import Gpu, Machine
from xpcam.inference.tensor import Tensor

GPU = Gpu("NVIDIA Test 4000", (8, 9), 8 << 30, 6 << 30)
MACHINE = Machine("580.65.06", (13, 0), GPU, cudnn="9.13.0", tensorrt="10.15.1")
EMPTY = Machine()


def machine(**changes: Any) -> Machine:
    """A good one, but for what is said; fields of `Gpu` with it."""
    gpu = {name: changes.pop(name) for name in ("name", "compute", "memory", "free") if name in changes}
    return replace(MACHINE, gpu=replace(GPU, **gpu), **changes)


class InMemory:
    """Stands for memory of a GPU: ONNX Runtime binds and fills it, and what is read from it is a copy."""

    def __init__(self, want: Tensor) -> None:
        self.value = ort.OrtValue.ortvalue_from_shape_and_type(want.shape, np.dtype(want.dtype).type)

    def numpy(self) -> Any:
        return self.value.numpy().copy()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.value, name)


class Driver:
    """libcuda, libnvidia-ml, libcudnn and libnvinfer in one; results as the real functions give them."""

    def __init__(
        self, *, init: int = 0, gpus: int = 1, context: int = 0, cuda: int = 13000, tensorrt: int = 101501
    ) -> None:
        self.results = {"cuInit": init, "cuDevicePrimaryCtxRetain": context}
        self.gpus, self.cuda, self.tensorrt = gpus, cuda, tensorrt
        self.contexts = 0
        self.absent: set[str] = set()

    def load(self, name: str) -> "Driver":
        if any(name.startswith(absent) for absent in self.absent):
            raise OSError(name)
        return self

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.answer(name, arguments)

    def answer(self, name: str, arguments: tuple[Any, ...]) -> int:
        values: dict[str, tuple[Any, ...]] = {
            "cuDriverGetVersion": (self.cuda,),
            "cuDeviceGetCount": (self.gpus,),
            "cuDeviceTotalMem_v2": (8 << 30,),
            "cuMemGetInfo_v2": (6 << 30, 8 << 30),
        }
        for pointer, value in zip(arguments, values.get(name, ()), strict=False):
            pointer._obj.value = value
        if name == "cuDeviceGetAttribute":
            arguments[0]._obj.value = {75: 8, 76: 9}[arguments[1]]
        if name in ("cuDeviceGetName", "nvmlSystemGetDriverVersion"):
            arguments[0].value = b"NVIDIA Test 4000" if name == "cuDeviceGetName" else b"580.65.06"
        self.contexts += {"cuDevicePrimaryCtxRetain": 1, "cuDevicePrimaryCtxRelease_v2": -1}.get(name, 0)
        fixed = {"cudnnGetVersion": 91300, "getInferLibVersion": self.tensorrt}
        return fixed.get(name, self.results.get(name, 0))
