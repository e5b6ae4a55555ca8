"""Engines: .onnx files, run by ONNX Runtime on the best device that works."""

import logging
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Final, Self

from xpcam.errors import EngineError
from xpcam.inference import sessions, switching
from xpcam.inference.providers import NAMES, Device
from xpcam.inference.sessions import NOT_BUILT, RUN_ERRORS, Live, one_line
from xpcam.inference.tensor import Array, Tensor

log = logging.getLogger(__name__)

# Above two, an engine of a few milliseconds gains nothing and takes cores from decoding and rendering.
MOST_THREADS: Final = 2
RETIRES: Final = 1.0  # seconds after which a session that was replaced is freed, not by the frame loop


@dataclass(frozen=True, slots=True)
class Contract:
    """What a caller wants of an engine: its inputs and outputs by name."""

    inputs: Mapping[str, Tensor] = field(default_factory=dict)
    outputs: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What really runs an engine, and why nothing faster does.

    Attributes:
        name: of the engine.
        device: "tensorrt", "cuda" or "cpu".
        precision: "fp16" or "fp32" with TensorRT, else empty.
        refusals: reason by device, for those before `device`.
    """

    name: str
    device: str
    precision: str
    refusals: Mapping[str, str]

    def __str__(self) -> str:
        precision = f" {self.precision}" if self.precision else ""
        refused = "".join(f"; not {NAMES[device][0]}: {why}" for device, why in self.refusals.items())
        return f"{self.name} on {NAMES[self.device][0]}{precision}{refused}"


class Engine:
    """One .onnx file, loaded, checked and warmed up; a context manager that frees it at the end.

    Where TensorRT could run it but its engine is not built yet, that is done beside it, and its session
    takes the place of this one between two runs.

    Attributes:
        name: the file's name without its ending.
        inputs, outputs: their types and shapes by name.
        metadata: the key-value pairs that the export wrote into the file.
    """

    def __init__(
        self,
        model: Path,
        *,
        device: Device = "auto",
        threads: int = 0,
        contract: Contract | None = None,
        build: bool = True,
        graphs: bool = False,
    ) -> None:
        """Load a model and run it once, so that the first frame is as fast as any other.

        Args:
            model: the .onnx file; every shape in it static.
            device: where to run; "auto" takes the best that works.
            threads: CPU threads within one run; 0 chooses.
            contract: inputs and outputs that the file must have.
            build: have a missing TensorRT engine built.
            graphs: on a GPU, record each run as a CUDA graph (docs/gpu.md says what that forbids).

        Raises:
            EngineError: the file is missing, damaged or another model; or the device does not work here.
        """
        self.name = model.stem
        self._model, self._wanted, self._threads = model, device, threads or default_threads()
        self._graphs = graphs
        live = sessions.start(model, device, self._threads, graphs)
        self.inputs, self.outputs = sessions.tensors(live.session, model)
        self.metadata: Mapping[str, str] = dict(live.session.get_modelmeta().custom_metadata_map)
        if contract is not None:
            _check(model, "input", self.inputs, contract.inputs)
            _check(model, "output", self.outputs, contract.outputs)
        self._live: Live | None = live
        self._report = EngineReport(self.name, live.device, live.precision, live.refusals)
        self._swap = Lock()
        log.info("engine %s runs on %s", self.name, NAMES[self.device][0])
        if build and live.refusals.get("tensorrt") == NOT_BUILT:
            self._tell_of_tensorrt(switching.build_beside(model, self._built) or "its engine is being built")

    @property
    def device(self) -> str:
        """What really runs it: "tensorrt", "cuda" or "cpu"."""
        return self._report.device

    @property
    def report(self) -> EngineReport:
        """What really runs it, and why nothing faster does."""
        return self._report

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One forward pass; blocks. Threads may run it at once.

        The outputs are fresh arrays and belong to the caller. On a GPU the buffers in between belong to
        the engine and are made once.

        Inputs of another name, type or shape are a bug of the caller: ValueError on a GPU, what ONNX Runtime
        raises on the CPU.

        Raises:
            EngineError: the device failed while running (out of memory, lost GPU).
        """
        live = self._live  # once: it may be replaced while this runs
        if live is None:
            raise ValueError(f"engine {self.name} is closed")
        try:
            results = live.run(inputs)
        except RUN_ERRORS as error:
            sessions.forget(live)
            remedy = "free some memory" if live.device == "cpu" else "try --device cpu"
            raise EngineError(
                f"engine {self.name} failed on {NAMES[live.device][0]}: {one_line(error)}; {remedy}"
            ) from error
        return dict(zip(self.outputs, results, strict=True))

    def close(self) -> None:
        """Free the session; may be called twice."""
        with self._swap:
            self._live = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _built(self, why: str) -> None:
        """The TensorRT engine is there, or will not come; called from another thread."""
        if self._live is None:
            return
        try:
            fresh = None if why else sessions.start(self._model, self._wanted, self._threads, self._graphs)
        except EngineError as error:
            fresh, why = None, str(error)
        if fresh is None or fresh.device != "tensorrt":
            self._tell_of_tensorrt(why or (fresh.refusals.get("tensorrt", "") if fresh else ""))
            return
        with self._swap:
            old = self._live
            if old is None:
                return
            self._live = fresh
            self._report = EngineReport(self.name, fresh.device, fresh.precision, fresh.refusals)
        log.info("engine %s runs on %s", self.name, NAMES[self.device][0])
        time.sleep(RETIRES)  # with `old` still held here: freeing it takes long, and a run may be under way

    def _tell_of_tensorrt(self, why: str) -> None:
        refusals = {**self._report.refusals, "tensorrt": why}
        self._report = EngineReport(self.name, self.device, self._report.precision, refusals)


class Running(Mapping[str, str]):
    """On which device each of some engines runs at the moment, by its name."""

    def __init__(self, *engines: Engine) -> None:
        self._engines = {engine.name: engine for engine in engines}

    def __getitem__(self, name: str) -> str:
        return self._engines[name].device

    def __iter__(self) -> Iterator[str]:
        return iter(self._engines)

    def __len__(self) -> int:
        return len(self._engines)

    def beside(self, engine: Engine) -> "Running":
        """These and one more."""
        return Running(*self._engines.values(), engine)

    @property
    def reports(self) -> tuple[EngineReport, ...]:
        """The same with reasons."""
        return tuple(engine.report for engine in self._engines.values())


def reports_of(running: Mapping[str, str]) -> tuple[EngineReport, ...]:
    """What runs the engines and why nothing faster does, where that is known."""
    return running.reports if isinstance(running, Running) else ()


def default_threads() -> int:
    """Threads within one run: the cores this process may use, at most two."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cores))


def _check(model: Path, kind: str, found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    wrong = [name for name, tensor in wanted.items() if found.get(name) != tensor]
    if wrong or (kind == "input" and found.keys() != wanted.keys()):
        raise EngineError(
            f"{model} is another model: found {kind} {_list(found)}, wanted {_list(wanted)}; "
            "use the file that ships with xpcam"
        )


def _list(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors.items())
