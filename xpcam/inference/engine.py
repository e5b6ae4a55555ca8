"""Engines: .onnx files, run by ONNX Runtime on the best device that works."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from xpcam.errors import EngineError
from xpcam.inference.providers import NAMES, Device, choose_providers, not_possible

log = logging.getLogger(__name__)

Array = NDArray[Any]

DTYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int32)": "int32",
    "tensor(int64)": "int64",
}

# ONNX Runtime's exceptions share no base class but Exception.
FILE_ERRORS: Final = (
    ort_errors.InvalidGraph,
    ort_errors.InvalidProtobuf,
    ort_errors.NoModel,
    ort_errors.NoSuchFile,
)
RUN_ERRORS: Final = (ort_errors.EPFail, ort_errors.Fail, ort_errors.RuntimeException)
# RuntimeError and ValueError are what a provider raises that cannot be made (no memory, too old a driver).
START_ERRORS: Final = (
    *RUN_ERRORS, ort_errors.InvalidArgument, ort_errors.NotImplemented, RuntimeError, ValueError
)  # fmt: skip

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
        self.name = model.stem
        self._session: ort.InferenceSession | None
        self._session, self.device = _start(model, device, threads or default_threads())
        self.inputs, self.outputs = _tensors(self._session, model)
        self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        if contract is not None:
            _check(model, "input", self.inputs, contract.inputs)
            _check(model, "output", self.outputs, contract.outputs)
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


def default_threads() -> int:
    """Threads within one run: the cores this process may use, at most two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cores))


def _start(model: Path, device: Device, threads: int) -> tuple[ort.InferenceSession, str]:
    """A session that has run once, and its device: the best one on which both work."""
    if not model.is_file():
        raise EngineError(
            f"no engine file at {model}: wanted an .onnx file; check the path or reinstall xpcam"
        )
    left = choose_providers(device).devices
    while True:
        try:
            return _start_on(left, model, device, threads)
        except (*FILE_ERRORS, *START_ERRORS) as error:
            if left == ("cpu",) or isinstance(error, FILE_ERRORS):
                raise EngineError(
                    f"the engine file {model} cannot be loaded ({_one_line(error)}): wanted an ONNX model; "
                    "it may be truncated, reinstall xpcam"
                ) from error
            if device != "auto":
                raise EngineError(not_possible(device, _one_line(error))) from error
            failed, *rest = left
            log.warning("%s not used: %s; trying %s", NAMES[failed][0], _one_line(error), NAMES[rest[0]][0])
            left = tuple(rest)


def _start_on(
    devices: tuple[str, ...], model: Path, device: Device, threads: int
) -> tuple[ort.InferenceSession, str]:
    session = _load(model, devices, threads)
    running = _running(session, device, devices)
    inputs, _ = _tensors(session, model)
    # So that the first frame is as fast as any other; and some GPUs (too old, too full) fail only here.
    session.run(None, {name: np.zeros(want.shape, want.dtype) for name, want in inputs.items()})
    return session, running


def _load(model: Path, devices: tuple[str, ...], threads: int) -> ort.InferenceSession:
    ort.set_default_logger_severity(4)  # what goes wrong arrives as an exception; see _running
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would hold the cores between frames that decoding and rendering need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # ONNX Runtime's own fallback prints several lines and hides the reason.
    providers = [NAMES[name][1] for name in devices]
    return ort.InferenceSession(model, options, providers=providers, enable_fallback=0)


def _running(session: ort.InferenceSession, device: Device, devices: tuple[str, ...]) -> str:
    """The device a session really runs on: ONNX Runtime falls back in silence."""
    active = session.get_providers()
    running = next(name for name in NAMES if NAMES[name][1] in active)
    if device not in ("auto", running):
        raise EngineError(not_possible(device, "it did not start"))
    if running != devices[0]:
        log.warning("%s did not start, running on %s", NAMES[devices[0]][0], NAMES[running][0])
    return running


def _tensors(session: ort.InferenceSession, model: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs by name."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return {n.name: _tensor(n, model) for n in inputs}, {n.name: _tensor(n, model) for n in outputs}


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
