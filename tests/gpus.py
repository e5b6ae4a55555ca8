"""Machines with and without GPUs, for tests: what ctypes would load, and what was found."""

import weakref
from dataclasses import replace
from pathlib import Path
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
        taken, given = (
            {"cuDevicePrimaryCtxRetain", "nvmlInit_v2"},
            {"cuDevicePrimaryCtxRelease_v2", "nvmlShutdown"},
        )
        self.contexts += (name in taken) - (name in given)
        fixed = {"cudnnGetVersion": 91300, "getInferLibVersion": self.tensorrt}
        return fixed.get(name, self.results.get(name, 0))


class Card:
    """A GPU: every session runs on the CPU in truth and takes 100 MB; TensorRT's builds its engine."""

    def __init__(self) -> None:
        self.real, self.sessions = ort.InferenceSession, 0
        self.off = dict[str, float]()
        self.broken = set[str]()
        self.opened = list[str]()

    def free_memory(self) -> float:
        return 8000.0 - 100 * self.sessions

    def session(
        self,
        model: Path,
        options: object,
        providers: list[str],
        provider_options: list[dict[str, str]],
        **_: int,
    ) -> "OnCard":
        given = provider_options[0]
        where = providers[0].removesuffix("ExecutionProvider").lower()
        where += " fp16" * (given.get("trt_fp16_enable") == "True")
        where += ", graphs" * any("cuda_graph" in name for name in given)
        self.opened.append(where)
        if where in self.broken:
            raise RuntimeError(f"no {where} today")
        if folder := given.get("trt_engine_cache_path"):
            engine = Path(folder) / "engine_1.engine"
            if not engine.exists():
                engine.write_bytes(b"engine")
        return OnCard(self, self.real(model, providers=["CPUExecutionProvider"]), providers, where)


class OnCard:
    def __init__(self, card: Card, real: Any, providers: list[str], where: str) -> None:
        self.real, self.providers, self.off = real, providers, np.float32(card.off.get(where, 0.0))
        if where != "cpu":
            card.sessions += 1
            weakref.finalize(self, setattr, card, "sessions", card.sessions - 1)

    def get_providers(self) -> list[str]:
        return self.providers

    def run(self, names: None, feeds: dict[str, Any]) -> list[Any]:
        return [result + self.off for result in self.real.run(names, feeds)]

    def run_with_iobinding(self, bound: ort.IOBinding, options: ort.RunOptions | None) -> None:
        self.real.run_with_iobinding(bound, options)
        for value in bound.get_outputs():
            value.numpy()[...] += self.off

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)
