"""Where engines can run: TensorRT, CUDA or the CPU, chosen in one place."""

import ctypes
import logging
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Final, Literal

import onnxruntime as ort
from onnxruntime.capi import build_and_package_info

from xpcam.errors import EngineError

log = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda", "tensorrt"]

NAMES: Final = {
    "tensorrt": ("TensorRT", "TensorrtExecutionProvider"),
    "cuda": ("CUDA", "CUDAExecutionProvider"),
    "cpu": ("CPU", "CPUExecutionProvider"),
}
"""Devices in order of preference: the name people read, and ONNX Runtime's."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Devices to try, best first, and one short reason for each that cannot be used here."""

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
    wanted = ("tensorrt", "cuda") if device == "auto" else (device,)
    refusals = {name: why for name in wanted if (why := _refusal(name))}
    if device in refusals:
        raise EngineError(not_possible(device, refusals[device]))
    choice = Choice((*(name for name in wanted if name not in refusals), "cpu"), refusals)
    if refusals:
        log.info("%s", choice)
    return choice


def not_possible(device: Device, why: str) -> str:
    """What to say where a device that was asked for does not work."""
    return (
        f"--device {device} is not possible, {why}: wanted an NVIDIA GPU, its driver and the libraries of "
        f"CUDA{' and TensorRT' if device == 'tensorrt' else ''}; install them or use --device auto"
    )


def _refusal(device: str) -> str:
    """Why a GPU device cannot work here, or an empty string."""
    if NAMES[device][1] not in ort.get_available_providers():
        return "this ONNX Runtime is built without it"
    if count_gpus() == 0:
        return "no NVIDIA GPU with a driver found"
    with redirect_stdout(StringIO()):  # it prints what it misses; that is said below, in one line
        ort.preload_dlls(cuda=True, cudnn=True, msvc=False)
    missing = [library for library in _libraries(device) if not _loads(library)]
    return f"not installed: {', '.join(missing)}" if missing else ""


def _libraries(device: str) -> tuple[str, ...]:
    if not sys.platform.startswith("linux"):
        return ()
    cuda = str(getattr(build_and_package_info, "cuda_version", "13")).split(".", maxsplit=1)[0]
    libraries = (f"libcudart.so.{cuda}", f"libcublasLt.so.{cuda}", "libcudnn.so.9")
    return (*libraries, "libnvinfer.so.10") if device == "tensorrt" else libraries


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def count_gpus() -> int:
    """NVIDIA GPUs that the driver offers to this process; 0 where there is no driver."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value
