"""Engines: .onnx files, run by ONNX Runtime with TensorRT, CUDA or the CPU, chosen in one place."""

import ctypes
import logging
import os
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import build_and_package_info
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from xpcam.errors import EngineError

log = logging.getLogger(__name__)

Device = Literal["auto", "cpu", "cuda", "tensorrt"]
Array = NDArray[Any]

NAMES: Final = {
    "tensorrt": ("TensorRT", "TensorrtExecutionProvider"),
    "cuda": ("CUDA", "CUDAExecutionProvider"),
    "cpu": ("CPU", "CPUExecutionProvider"),
}
"""Devices in order of preference: the name people read, and ONNX Runtime's."""

DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}

# ONNX Runtime's exceptions share no base class but Exception.
LOAD_ERRORS: Final = (
    ort_errors.EPFail,
    ort_errors.Fail,
    ort_errors.InvalidArgument,
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
RUN_ERRORS: Final = (ort_errors.EPFail, ort_errors.Fail, ort_errors.RuntimeException)

# Above two, an engine of a few milliseconds gains nothing and takes cores from decoding and rendering.
MOST_THREADS: Final = 2


@dataclass(frozen=True, slots=True)
class Tensor:
    """Type and shape of one input or output, such as uint8 (1, 256, 256, 3)."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {self.shape}"


@dataclass(frozen=True, slots=True)
class Contract:
    """What a caller wants of an engine: its inputs and outputs by name."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Choice:
    """Devices to try, best first, and one short reason for each that cannot be used here."""

    devices: tuple[str, ...]
    refusals: Mapping[str, str]

    def __str__(self) -> str:
        return "; ".join(f"{NAMES[device][0]} not used: {why}" for device, why in self.refusals.items())


class Engine:
    """One .onnx file, loaded, checked and warmed up; a context manager that frees it at the end.

    Attributes:
        name: the file's name without its ending.
        device: "tensorrt", "cuda" or "cpu": what really runs.
        inputs, outputs: their types and shapes by name.
        metadata: the key-value pairs that the export wrote into the file.
    """

    def __init__(
        self, model: Path, *, device: Device = "auto", threads: int = 0, contract: Contract | None = None
    ) -> None:
        """Load a model and run it once, so that the first frame is as fast as any other.

        Args:
            model: the .onnx file; every shape in it static.
            device: where to run; "auto" takes the best that works.
            threads: CPU threads within one run; 0 chooses.
            contract: inputs and outputs that the file must have.

        Raises:
            EngineError: the file is missing, damaged or another model; or the device does not work here.
        """
        choice = choose_providers(device)
        self.name = model.stem
        self._session: ort.InferenceSession | None = _load(model, choice, threads or default_threads())
        self.device = _running(self._session, device, choice)
        self.inputs = {node.name: _tensor(node, model) for node in self._session.get_inputs()}
        self.outputs = {node.name: _tensor(node, model) for node in self._session.get_outputs()}
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if contract is not None:
            _check(model, "input", self.inputs, contract.inputs)
            _check(model, "output", self.outputs, contract.outputs)
        self.run({name: np.zeros(want.shape, want.dtype) for name, want in self.inputs.items()})
        log.info("engine %s runs on %s", self.name, NAMES[self.device][0])

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass; blocks. The outputs are fresh arrays and belong to the caller.

        Inputs of another name, type or shape are a bug of the caller and raise what ONNX Runtime raises.

        Raises:
            EngineError: the device failed while running (out of memory, lost GPU).
        """
        if self._session is None:
            raise ValueError(f"engine {self.name} is closed")
        try:
            results = self._session.run(None, dict(inputs))
        except RUN_ERRORS as error:
            remedy = "free some memory" if self.device == "cpu" else "try --device cpu"
            raise EngineError(
                f"engine {self.name} failed on {NAMES[self.device][0]}: {_one_line(error)}; {remedy}"
            ) from error
        return dict(zip(self.outputs, results, strict=True))

    def close(self) -> None:
        """Free the session; may be called twice."""
        self._session = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


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
        raise EngineError(_not_possible(device, refusals[device]))
    choice = Choice((*(name for name in wanted if name not in refusals), "cpu"), refusals)
    if refusals:
        log.info("%s", choice)
    return choice


def default_threads() -> int:
    """Threads within one run: the cores this process may use, at most two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cores))


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


def _load(model: Path, choice: Choice, threads: int) -> ort.InferenceSession:
    if not model.is_file():
        raise EngineError(
            f"no engine file at {model}: wanted an .onnx file; check the path or reinstall xpcam"
        )
    ort.set_default_logger_severity(4)  # what goes wrong arrives as an exception; see _running
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would hold the cores between frames that decoding and rendering need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=[NAMES[name][1] for name in choice.devices])
    except LOAD_ERRORS as error:
        raise EngineError(
            f"the engine file {model} cannot be loaded ({_one_line(error)}): wanted an ONNX model; "
            "it may be truncated, reinstall xpcam"
        ) from error


def _running(session: ort.InferenceSession, device: Device, choice: Choice) -> str:
    """The device a session really runs on: ONNX Runtime falls back in silence."""
    active = session.get_providers()
    running = next(name for name in NAMES if NAMES[name][1] in active)
    if device not in ("auto", running):
        raise EngineError(_not_possible(device, "it did not start"))
    if running != choice.devices[0]:
        log.warning("%s did not start, running on %s", NAMES[choice.devices[0]][0], NAMES[running][0])
    return running


def _not_possible(device: Device, why: str) -> str:
    return (
        f"--device {device} is not possible, {why}: wanted an NVIDIA GPU, its driver and the libraries of "
        f"CUDA{' and TensorRT' if device == 'tensorrt' else ''}; install them or use --device auto"
    )


def _tensor(node: Any, model: Path) -> Tensor:
    if node.type not in DTYPES or not all(isinstance(size, int) for size in node.shape):
        raise EngineError(
            f"{model} is not an engine of xpcam: its {node.name} is {node.type} {tuple(node.shape)}, wanted "
            "fixed sizes of float32, float16, uint8, int32 or int64; use the file that ships with xpcam"
        )
    return Tensor(DTYPES[node.type], tuple(node.shape))


def _check(model: Path, kind: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    wrong = [name for name, tensor in wanted.items() if found.get(name) != tensor]
    if wrong or (kind == "input" and found.keys() != wanted.keys()):
        raise EngineError(
            f"{model} is another model: found {kind} {_list(found)}, wanted {_list(wanted)}; "
            "use the file that ships with xpcam"
        )


def _list(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors.items())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).removeprefix("[ONNXRuntimeError] : ").split())[:200]
