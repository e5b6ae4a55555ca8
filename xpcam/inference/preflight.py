"""What this machine has for engines on an NVIDIA GPU, asked of the driver and of the libraries themselves.

It prints nothing and asks nothing of ONNX Runtime, which answers a missing library with a page of red text.
"""

import ctypes
import importlib
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any, Final

import onnxruntime as ort
from onnxruntime.capi import build_and_package_info

WINDOWS: Final = sys.platform == "win32"
DRIVER: Final = "nvcuda.dll" if WINDOWS else "libcuda.so.1"
MANAGEMENT: Final = "nvml.dll" if WINDOWS else "libnvidia-ml.so.1"
CUDNN: Final = "libcudnn.so.9"
TENSORRT: Final = ("libnvinfer.so.10", "libnvonnxparser.so.10", "libnvinfer_plugin.so.10")

MAJOR, MINOR = 75, 76  # CUdevice_attribute: the two numbers of the compute capability
SAID: Final = {
    2: "no GPU memory is left",
    46: "the GPU is taken, or not usable just now",
    100: "it sees no GPU",
    802: "the GPUs are not ready",
    803: "it does not fit the kernel's module: restart the machine",
    804: "it is too new for this GPU",
}
"""Some answers of the CUDA driver (CUresult)."""

Load = Callable[[str], Any]
"""Loads a library by name, as ctypes.CDLL does; raises OSError."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """The first GPU that the driver offers to this process.

    Attributes:
        name: as NVIDIA calls it.
        compute: its compute capability, such as (9, 0).
        memory, free: bytes.
    """

    name: str
    compute: tuple[int, int]
    memory: int
    free: int


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found.

    Attributes:
        driver: version of NVIDIA's driver; empty where there is none.
        cuda: the newest CUDA that the driver can run.
        gpu: None where there is none that answers.
        failure: why there is none, in the driver's words.
        missing: libraries that cannot be loaded; looked for only where there is a GPU.
        cudnn, tensorrt: versions; empty where they are missing.
    """

    driver: str = ""
    cuda: tuple[int, int] = (0, 0)
    gpu: Gpu | None = None
    failure: str = ""
    missing: frozenset[str] = frozenset()
    cudnn: str = ""
    tensorrt: str = ""


@cache
def machine() -> Machine:
    """What this machine has; looked at once."""
    return look(ctypes.CDLL, preload)


def look(load: Load, prepare: Callable[[], None]) -> Machine:
    """What `load` can find; `prepare` is called before the libraries are looked for."""
    try:
        driver = load(DRIVER)
    except OSError:
        return Machine()
    version = ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    cuda = (version.value // 1000, version.value % 1000 // 10)
    named = _driver_version(load) or f"for CUDA {cuda[0]}.{cuda[1]}"
    gpu = _gpu(driver)
    if isinstance(gpu, str):
        return Machine(named, cuda, failure=gpu)
    prepare()
    missing = {name for name in (*cuda_libraries(), *TENSORRT) if _loaded(load, name) is None}
    cudnn, tensorrt = _loaded(load, CUDNN), _loaded(load, TENSORRT[0])
    return Machine(
        named,
        cuda,
        gpu,
        missing=frozenset(missing) if sys.platform.startswith("linux") else frozenset(),
        cudnn=_version(cudnn.cudnnGetVersion()) if cudnn else "",
        tensorrt=_version(tensorrt.getInferLibVersion()) if tensorrt else "",
    )


def cuda_major() -> int:
    """The CUDA that the installed ONNX Runtime was built with."""
    return int(str(getattr(build_and_package_info, "cuda_version", "") or "13").split(".", maxsplit=1)[0])


def cuda_libraries() -> tuple[str, ...]:
    """What ONNX Runtime's CUDA provider loads first."""
    major = cuda_major()
    return (f"libcudart.so.{major}", f"libcublasLt.so.{major}", CUDNN)


def preload() -> None:
    """Load what pip installed, so that it is found by its name from here on; quietly."""
    with redirect_stdout(StringIO()):  # it prints what it misses; that is said elsewhere, in one line
        ort.preload_dlls(cuda=True, cudnn=True, msvc=False)
        try:
            importlib.import_module("tensorrt_libs")  # NVIDIA's package; it loads its libraries
        except (ImportError, OSError):
            return


def _gpu(driver: Any) -> Gpu | str:
    """The first GPU, or why there is none."""
    device, count, total = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_size_t(0)
    major, minor, name = ctypes.c_int(0), ctypes.c_int(0), ctypes.create_string_buffer(128)
    code = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
    if not code and count.value == 0:
        code = 100
    code = (
        code
        or driver.cuDeviceGet(ctypes.byref(device), 0)
        or driver.cuDeviceGetName(name, len(name), device)
        or driver.cuDeviceGetAttribute(ctypes.byref(major), MAJOR, device)
        or driver.cuDeviceGetAttribute(ctypes.byref(minor), MINOR, device)
        or driver.cuDeviceTotalMem_v2(ctypes.byref(total), device)
    )
    if code:
        return _said(code)
    free = _free(driver, device)
    if isinstance(free, str):
        return free
    return Gpu(name.value.decode("utf-8", "replace"), (major.value, minor.value), total.value, free)


def _free(driver: Any, device: ctypes.c_int) -> int | str:
    """Free memory in bytes; that takes a context, which is given back."""
    context, free, total = ctypes.c_void_p(), ctypes.c_size_t(0), ctypes.c_size_t(0)
    code = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device)
    if code == 2:
        return 0
    if code:
        return _said(code)
    try:
        code = driver.cuCtxPushCurrent_v2(context) or driver.cuMemGetInfo_v2(
            ctypes.byref(free), ctypes.byref(total)
        )
        driver.cuCtxPopCurrent_v2(ctypes.byref(context))
    finally:
        driver.cuDevicePrimaryCtxRelease_v2(device)
    return _said(code) if code else free.value


def _driver_version(load: Load) -> str:
    """As nvidia-smi shows it, such as 580.65.06; empty where it cannot be asked."""
    management, buffer = _loaded(load, MANAGEMENT), ctypes.create_string_buffer(96)
    if management is None or management.nvmlInit_v2():
        return ""
    code = management.nvmlSystemGetDriverVersion(buffer, len(buffer))
    management.nvmlShutdown()
    return "" if code else buffer.value.decode("ascii", "replace")


def _loaded(load: Load, name: str) -> Any:
    try:
        return load(name)
    except OSError:
        return None


def _version(number: int) -> str:
    """91002 is 9.10.2: cuDNN since 9 and TensorRT since 10 count alike."""
    return f"{number // 10000}.{number // 100 % 100}.{number % 100}"


def _said(code: int) -> str:
    return SAID.get(code, f"it answers with CUDA error {code}")
