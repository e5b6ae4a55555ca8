"""Compiles engines with TensorRT, by way of ONNX Runtime: one at a time, checked before they are kept."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal

import onnxruntime as ort

from xpcam.errors import EngineError
from xpcam.file_lock import locked
from xpcam.inference import trt_cache
from xpcam.inference.accuracy import Array, differences
from xpcam.inference.preflight import Machine, machine
from xpcam.inference.trt_cache import Kept, Key

Precision = Literal["fp16", "fp32"]
PRECISIONS: Final[tuple[Precision, ...]] = ("fp16", "fp32")
"""In order of preference."""
ROOM: Final = 256 << 20
"""Bytes that must be free on the disk before a build begins: more than any engine of xpcam takes."""

Run = Callable[[Mapping[str, Array]], Mapping[str, Array]]
"""Runs a model once."""
Opener = Callable[[Mapping[str, str]], Run]
"""Starts a model under options of ONNX Runtime's TensorRT provider, which builds what is not there."""
Tell = Callable[[str], None]
"""Is told what is being done."""


def key_of(model: Path, precision: str, found: Machine | None = None) -> Key:
    """What the engine of a model depends on, on this machine's GPU or on the one given.

    Raises:
        EngineError: there is no GPU, or the file cannot be read.
    """
    found = found or machine()
    if found.gpu is None:
        raise EngineError(
            "no NVIDIA GPU with a driver found: TensorRT's engines are built for the GPU at hand"
        )
    try:
        digest = trt_cache.file_hash(model)
    except OSError as error:
        raise EngineError(
            f"the engine file {model} cannot be read ({error.strerror}): check its name"
        ) from error
    gpu = found.gpu
    compute = ".".join(map(str, gpu.compute))
    return Key(
        model.stem, digest, gpu.name, compute, found.driver, found.tensorrt, ort.__version__, precision
    )


def ready(model: Path) -> tuple[Kept | None, str]:
    """The engine to run: None and nothing where it has to be built, None and why where there can be none."""
    refused = ""
    for precision in PRECISIONS:
        kept = trt_cache.find(key_of(model, precision))
        if kept is None or not kept.refused:
            return kept, ""
        refused = f"{precision}: {kept.refused}"
    return None, refused


def run_options(kept: Kept) -> dict[str, str]:
    """Options of the TensorRT provider that load an engine."""
    precision = kept.key.precision if kept.key else "fp32"
    return {
        "trt_engine_cache_enable": "True",
        "trt_engine_cache_path": str(kept.folder),
        "trt_engine_cache_prefix": "engine",
        "trt_fp16_enable": str(precision == "fp16"),
    }


def build_options(key: Key, timings: Path) -> dict[str, str]:
    """Options of the TensorRT provider that build an engine into `key.part`."""
    options = run_options(Kept(key.part, key, "", "", 0))
    return options | {"trt_timing_cache_enable": "True", "trt_timing_cache_path": str(timings)}


def build(
    key: Key,
    opener: Opener,
    inputs: list[dict[str, Array]],
    wanted: list[Mapping[str, Array]],
    tell: Tell = lambda _: None,
) -> Kept:
    """Build an engine, or wait for whoever builds it; what is there already stays.

    It is kept only when it was read back from the disk and gives what the CPU gives; where it does not,
    that is kept instead, so that nobody tries it again.

    Args:
        key: of the engine.
        opener: starts the model.
        inputs: golden inputs.
        wanted: what the CPU makes of them.
        tell: is told what is being done.

    Raises:
        EngineError: no disk space, or TensorRT could not build it; nothing is left behind.
    """
    root = trt_cache.root()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(root / trt_cache.LOCK):
            kept = trt_cache.find(key)
            if kept is not None:
                return kept
            trt_cache.sweep()
            _check_room(root)
            key.part.mkdir(mode=0o700)
            try:
                trt_cache.keep(key, _make(key, opener, inputs, wanted, tell))
            finally:
                shutil.rmtree(key.part, ignore_errors=True)
            kept = trt_cache.find(key)
    except OSError as error:
        raise EngineError(
            f"the engine {key.model} cannot be kept in {root} ({error.strerror or error}): make room, or set "
            "XDG_CACHE_HOME to another disk"
        ) from error
    if kept is None:
        raise EngineError(f"the engine {key.model} in {root} was changed by somebody else: try again")
    return kept


def _make(
    key: Key,
    opener: Opener,
    inputs: list[dict[str, Array]],
    wanted: list[Mapping[str, Array]],
    tell: Tell,
) -> str:
    """Build into `key.part`; says why the engine is refused, or nothing. Raises EngineError, OSError."""
    tell(f"{key.model}: building {key.precision}")
    timings = trt_cache.timing_file_folder(key)
    timings.mkdir(mode=0o700, exist_ok=True)
    run = opener(build_options(key, timings))
    run(inputs[0])
    del run  # one engine in the GPU's memory at a time
    written = _state(key.part)
    if not any(name.endswith(".engine") for name in written):
        raise EngineError(f"TensorRT took no part of {key.model}, or could not write its engine: use CUDA")
    tell(f"{key.model}: checking {key.precision}")
    again = opener(build_options(key, timings))
    found = [again(one) for one in inputs]
    if _state(key.part) != written:
        raise EngineError(
            f"the engine {key.model} could not be read back from {key.part.parent}: is its disk full?"
        )
    wrong = [str(one) for one in differences(wanted, found) if one.too_large]
    return f"differs from the CPU: {', '.join(wrong)}" if wrong else ""


def _check_room(root: Path) -> None:
    free = shutil.disk_usage(root).free
    if free < ROOM:
        raise EngineError(
            f"{free >> 20} MB are free for engines in {root}, wanted {ROOM >> 20}: make room, or set "
            "XDG_CACHE_HOME to another disk"
        )


def _state(folder: Path) -> dict[str, tuple[int, Any]]:
    return {path.name: (path.stat().st_mtime_ns, trt_cache.file_hash(path)) for path in folder.iterdir()}
