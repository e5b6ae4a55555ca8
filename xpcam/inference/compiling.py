"""Builds the TensorRT engine of a model for this machine's GPU, in fp16 where that is accurate enough."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from xpcam.errors import EngineError
from xpcam.inference import sessions
from xpcam.inference.accuracy import Array, golden_inputs
from xpcam.inference.engine import Engine, default_threads
from xpcam.inference.providers import choose_providers
from xpcam.inference.trt_build import PRECISIONS, Opener, Precision, Run, Tell, build, key_of
from xpcam.inference.trt_cache import Kept

ON_TENSORRT = ("tensorrt", "cuda", "cpu")


def compile_engine(model: Path, tell: Tell, precisions: Sequence[Precision] = PRECISIONS) -> Kept:
    """The first engine that is accurate enough, built where it is not there; else the last refusal.

    Args:
        model: the .onnx file.
        tell: is told what is being done.
        precisions: in order of preference.

    Raises:
        EngineError: TensorRT cannot be used here, with the remedy; or building failed.
    """
    choose_providers("tensorrt")
    inputs, wanted = reference(model)
    for precision in precisions:
        kept = build(key_of(model, precision), opener_of(model), inputs, wanted, tell)
        if not kept.refused:
            break
    return kept


def reference(model: Path) -> tuple[list[dict[str, Array]], list[Mapping[str, Array]]]:
    """Golden inputs of a model, and what the CPU makes of them."""
    with Engine(model, device="cpu") as cpu:
        inputs = golden_inputs({name: (want.dtype, want.shape) for name, want in cpu.inputs.items()})
        return inputs, [cpu.run(one) for one in inputs]


def opener_of(model: Path) -> Opener:
    """Starts a model on TensorRT; CUDA runs what TensorRT does not take."""

    def start(options: Mapping[str, str]) -> Run:
        try:
            session = sessions.load(model, ON_TENSORRT, default_threads(), options)
            sessions.require(session, ON_TENSORRT)
        except (*sessions.FILE_ERRORS, *sessions.START_ERRORS) as error:
            raise EngineError(
                f"TensorRT cannot build {model.stem} ({sessions.one_line(error)}): use --device cuda"
            ) from error
        names = [output.name for output in session.get_outputs()]

        def run(feed: Mapping[str, Array]) -> dict[str, Array]:
            try:
                return dict(zip(names, session.run(None, dict(feed)), strict=True))
            except sessions.RUN_ERRORS as error:
                raise EngineError(
                    f"TensorRT cannot run {model.stem} ({sessions.one_line(error)}): use --device cuda"
                ) from error

        return run

    return start
