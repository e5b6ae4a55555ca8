"""Where engines can run: TensorRT, CUDA or the CPU, chosen in one place."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import onnxruntime as ort

from xpcam.errors import EngineError
from xpcam.inference.preflight import CUDNN, TENSORRT, Gpu, Machine, cuda_libraries, cuda_major, machine

log = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda", "tensorrt"]

NAMES: Final = {
    "tensorrt": ("TensorRT", "TensorrtExecutionProvider"),
    "cuda": ("CUDA", "CUDAExecutionProvider"),
    "cpu": ("CPU", "CPUExecutionProvider"),
}
"""Devices in order of preference: the name people read, and ONNX Runtime's."""

DRIVERS: Final = {12: 525, 13: 580}
"""The oldest driver for each CUDA (NVIDIA, "CUDA Compatibility", Minor Version Compatibility, table 1)."""
COMPUTE: Final = {12: (5, 0), 13: (7, 5)}
"""The oldest GPUs for each CUDA: 13 left out everything before Turing."""
TENSORRT_FROM: Final = (10, 13)
"""The first TensorRT for CUDA 13 (its release notes, 10.13.2)."""
NEEDED: Final = {"cuda": 512 << 20, "tensorrt": 1024 << 20}
"""Free GPU memory, bytes, under which a device is not tried: a guess, not measured."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Devices to try, best first, and one short reason with its remedy for each that cannot be used here."""

    devices: tuple[str, ...]
    refusals: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{NAMES[device][0]} not used: {why}" for device, why in self.refusals.items())


@cache
def choose_providers(device: Device) -> Choice:
    """Which devices to try, in the order TensorRT, CUDA, CPU, and why the others are refused.

    Nothing is asked of ONNX Runtime that cannot work: it would answer with a page of red text.

    Raises:
        EngineError: a device other than "auto" was asked for and does not work here.
    """
    if device == "cpu":
        return Choice(("cpu",), {})
    wanted = ("cuda",) if device == "cuda" else ("tensorrt", "cuda")  # what TensorRT cannot do, CUDA does
    refusals = {name: why for name in wanted if (why := _refusal(name))}
    if device in refusals:
        raise EngineError(not_possible(device, refusals[device]))
    choice = Choice((*(name for name in wanted if name not in refusals), "cpu"), refusals)
    if refusals:  # a machine without an NVIDIA GPU is nothing to be told
        log.log(logging.INFO if machine().driver else logging.DEBUG, "%s", choice)
    return choice


def not_possible(device: Device, why: str) -> str:
    """What to say where a device that was asked for does not work."""
    return f"--device {device} is not possible, {why}; or use --device auto"


def count_gpus() -> int:
    """1 where an NVIDIA GPU answers this process, else 0."""
    return int(machine().gpu is not None)


def _refusal(device: str) -> str:
    """Why a GPU device cannot work here, and the remedy; or an empty string."""
    if NAMES[device][1] not in ort.get_available_providers():
        return "this ONNX Runtime is built without it: install onnxruntime-gpu in place of onnxruntime"
    return refusal(device, machine())


def refusal(device: str, found: Machine) -> str:
    """Why a GPU device cannot work on such a machine, and the remedy; or an empty string."""
    major = cuda_major()
    driver = f"install NVIDIA's driver {DRIVERS.get(major, DRIVERS[13])} or newer"
    if not found.driver:
        return f"no NVIDIA GPU with a driver found: {driver}"
    if found.cuda < (major, 0):
        return f"the driver {found.driver} runs CUDA {_dotted(found.cuda)}, wanted {major}.0: {driver}"
    if found.gpu is None:
        return f"the driver {found.driver} gives no GPU ({found.failure}): see what nvidia-smi says"
    return _too_old(found.gpu, major) or _not_installed(device, found) or _too_full(device, found.gpu)


def _too_old(gpu: Gpu, major: int) -> str:
    wanted = COMPUTE.get(major, COMPUTE[13])
    if gpu.compute >= wanted:
        return ""
    return (
        f"the {gpu.name} has compute capability {_dotted(gpu.compute)}, CUDA {major} wants {_dotted(wanted)} "
        "or newer: use --device cpu"
    )


def _not_installed(device: str, found: Machine) -> str:
    wanted = (*cuda_libraries(), *TENSORRT) if device == "tensorrt" else cuda_libraries()
    install = f"pip install 'xpcam[{device}]'"
    if missing := [library for library in wanted if library in found.missing]:
        return f"not installed: {', '.join(missing)}: {install}"
    if found.cudnn and not found.cudnn.startswith("9."):
        return f"{CUDNN} is version {found.cudnn}, wanted 9: {install}"
    if device == "tensorrt" and found.tensorrt and _numbers(found.tensorrt) < TENSORRT_FROM:
        return f"TensorRT is version {found.tensorrt}, wanted {_dotted(TENSORRT_FROM)} or newer: {install}"
    return ""


def _too_full(device: str, gpu: Gpu) -> str:
    needed = NEEDED[device]
    if gpu.free >= needed:
        return ""
    return (
        f"{gpu.free >> 20} MB of {gpu.memory >> 20} MB are free on the {gpu.name}, wanted {needed >> 20}: "
        "end what else uses it"
    )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def _dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
