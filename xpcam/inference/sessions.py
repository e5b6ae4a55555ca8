"""Sessions of ONNX Runtime, started on the best device that works."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from weakref import WeakValueDictionary

import numpy as np
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from xpcam.errors import EngineError
from xpcam.inference import trt_build
from xpcam.inference.binding import Bound
from xpcam.inference.providers import NAMES, Device, choose_providers, not_possible
from xpcam.inference.tensor import Array, Tensor
from xpcam.inference.trt_cache import Kept

log = logging.getLogger(__name__)

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
# RuntimeError is what a bound run raises, and with ValueError what a provider raises that cannot be made (no
# memory, too old a driver).
RUN_ERRORS: Final = (ort_errors.EPFail, ort_errors.Fail, ort_errors.RuntimeException, RuntimeError)
START_ERRORS: Final = (*RUN_ERRORS, ort_errors.InvalidArgument, ort_errors.NotImplemented, ValueError)
GRAPHS: Final = {
    "tensorrt": {"trt_cuda_graph_enable": "True"},
    "cuda": {"enable_cuda_graph": "1"},
    "cpu": {},
}
"""Options of ONNX Runtime's providers that record CUDA graphs."""
NOT_BUILT: Final = "its engine is not built yet"


@dataclass(frozen=True, slots=True)
class Live:
    """A session that has run once.

    Attributes:
        session: ONNX Runtime's; several threads may run it at once.
        device: "tensorrt", "cuda" or "cpu": what really runs.
        precision: "fp16" or "fp32" with TensorRT, else empty.
        refusals: why not on the devices before that one, by device.
        bound: on a GPU, the session and its buffers.
    """

    session: Any
    device: str
    precision: str = ""
    refusals: Mapping[str, str] = field(default_factory=dict)
    bound: Bound | None = None

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs, in order; fresh arrays. Raises RUN_ERRORS."""
        if self.bound is not None:
            return self.bound.run(feeds)
        results: list[Array] = self.session.run(None, dict(feeds))
        return results


_shared: WeakValueDictionary[tuple[object, ...], Bound] = WeakValueDictionary()
"""Sessions on a GPU, by file and device: the pipelines of one process hold the weights once."""


def start(model: Path, device: Device, threads: int, graphs: bool = False) -> Live:
    """A session that has run once, on the best device on which both work; one that is there is shared.

    TensorRT is left out while its engine is not built: `refusals` then says `NOT_BUILT`.

    Raises:
        EngineError: the file is missing or damaged; or the device does not work here.
    """
    if not model.is_file():
        raise EngineError(
            f"no engine file at {model}: wanted an .onnx file; check the path or reinstall xpcam"
        )
    choice = choose_providers(device)
    left, refusals = choice.devices, dict(choice.refusals)
    kept = None
    if left[0] == "tensorrt":
        kept, why = trt_build.ready(model)
        if kept is None:
            left, refusals["tensorrt"] = left[1:], why or NOT_BUILT
    while True:
        try:
            return start_on(left, model, threads, refusals, kept, graphs)
        except (*FILE_ERRORS, *START_ERRORS) as error:
            if left == ("cpu",) or isinstance(error, FILE_ERRORS):
                raise EngineError(
                    f"the engine file {model} cannot be loaded ({one_line(error)}): wanted an ONNX model; "
                    "it may be truncated, reinstall xpcam"
                ) from error
            if device != "auto":
                raise EngineError(not_possible(device, one_line(error))) from error
            failed, *rest = left
            log.warning("%s not used: %s; trying %s", NAMES[failed][0], one_line(error), NAMES[rest[0]][0])
            refusals[failed] = one_line(error)
            left = tuple(rest)


def forget(live: Live) -> None:
    """Share that session no longer: it failed, and who loads the engine again must get a new one."""
    for key in [key for key, shared in _shared.items() if shared is live.bound]:
        del _shared[key]


def start_on(
    devices: tuple[str, ...],
    model: Path,
    threads: int,
    refusals: Mapping[str, str],
    kept: Kept | None,
    graphs: bool,
) -> Live:
    """A session that has run once, on the first of the devices; `kept` is TensorRT's engine.

    Raises:
        FILE_ERRORS, START_ERRORS: of ONNX Runtime.
    """
    stat = model.stat()
    if devices[0] != "tensorrt":
        kept = None
    place = (model, stat.st_mtime_ns, stat.st_size, devices, threads, graphs, kept and kept.folder)
    options = trt_build.run_options(kept) if kept else {}
    bound = _shared.get(place)
    session = bound.session if bound else load(model, devices, threads, options, graphs)
    running = require(session, devices)
    inputs, outputs = tensors(session, model)
    if running != "cpu":
        bound = bound or Bound(session, inputs, outputs, graphs)
    precision = kept.key.precision if kept and kept.key else ""
    live = Live(session, running, precision, refusals, bound)
    # So that the first frame is as fast as any other; and some GPUs (too old, too full) fail only here.
    live.run({name: np.zeros(want.shape, want.dtype) for name, want in inputs.items()})
    if bound is not None:
        _shared[place] = bound
    return live


def load(
    model: Path, devices: tuple[str, ...], threads: int, tensorrt: Mapping[str, str], graphs: bool = False
) -> ort.InferenceSession:
    """A session on the first of the devices, the others for what it cannot do.

    Args:
        model: the .onnx file.
        devices: names as in `NAMES`.
        threads: within one run.
        tensorrt: options of ONNX Runtime's TensorRT provider.
        graphs: record CUDA graphs; such a session is run by a `Bound` alone.
    """
    ort.set_default_logger_severity(4)  # what goes wrong arrives as an exception; see `require`
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # Spinning threads would hold the cores between frames that decoding and rendering need.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers = [NAMES[name][1] for name in devices]
    more = [tensorrt if name == "tensorrt" else {} for name in devices]
    if graphs:
        more[0] = {**more[0], **GRAPHS[devices[0]]}
    # ONNX Runtime's own fallback prints several lines and hides the reason.
    return ort.InferenceSession(model, options, providers=providers, provider_options=more, enable_fallback=0)


def tensors(session: ort.InferenceSession, model: Path) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Inputs and outputs by name. Raises EngineError: a type or a shape that no engine of xpcam has."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return {n.name: _tensor(n, model) for n in inputs}, {n.name: _tensor(n, model) for n in outputs}


def one_line(error: Exception) -> str:
    """What ONNX Runtime says, short."""
    return " ".join(str(error).removeprefix("[ONNXRuntimeError] : ").split())[:200]


def require(session: ort.InferenceSession, devices: tuple[str, ...]) -> str:
    """The first device, where a session really runs on it: ONNX Runtime falls back in silence.

    Raises:
        RuntimeError: it runs on another.
    """
    active = session.get_providers()
    running = next(name for name in NAMES if NAMES[name][1] in active)
    if running != devices[0]:
        raise RuntimeError("it did not start")
    return running


def _tensor(node: Any, model: Path) -> Tensor:
    if node.type not in DTYPES or not all(isinstance(size, int) for size in node.shape):
        raise EngineError(
            f"{model} is not an engine of xpcam: its {node.name} is {node.type} {tuple(node.shape)}, wanted "
            "fixed sizes of float32, float16, uint8, int32 or int64; use the file that ships with xpcam"
        )
    return Tensor(DTYPES[node.type], tuple(node.shape))
