"""Compare and time every engine on every device of a machine with an NVIDIA GPU; writes the table of docs/gpu.md.

    python -m engines.gpu_check [--seconds 2] [--docs docs/gpu.md]

Ends with 1 where an output differs from the CPU's by more than its tolerance or something did not run, with 6 where
there is no GPU.
"""

import argparse
import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import onnxruntime as ort

from xpcam import bench
from xpcam.errors import EngineError
from xpcam.inference import sessions
from xpcam.inference.accuracy import Array, Difference, differences
from xpcam.inference.compiling import ON_TENSORRT, compile_engine, reference
from xpcam.inference.engine import default_threads
from xpcam.inference.measuring import Speed, measure
from xpcam.inference.preflight import look, machine
from xpcam.inference.providers import Choice, choose_providers
from xpcam.inference.trt_build import PRECISIONS
from xpcam.inference.trt_cache import Kept
from xpcam.resources import SHIPPED, shipped
from xpcam.settings import Settings

ENGINES = [name for name in SHIPPED if name.endswith(".onnx")]
STREAMS = (1, 2, 4, 8, 16)
DRAWN = ("track", "retarget", "render")
"""Stages of a frame between its picture and the picture made: tracker, mouth, warp."""
SIZE = "1280x720"
BEGINS, ENDS = "<!-- gpu-check begins -->\n", "<!-- gpu-check ends -->"
DOCS = Path(__file__).parent.parent / "docs" / "gpu.md"

Run = Callable[[Mapping[str, Array]], list[Array]]


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one device: differences from the CPU, GPU memory in MB, speed by number of streams."""

    engine: str
    where: str
    differences: tuple[Difference, ...]
    memory: float
    speeds: Mapping[int, Speed]

    @property
    def wrong(self) -> str:
        """What differs too much, or nothing."""
        found = ", ".join(str(one) for one in self.differences if one.too_large)
        return f"{self.engine} on {self.where}: {found}" if found else ""

    def __str__(self) -> str:
        worst = max(self.differences, key=lambda one: one.found / one.allowed)
        cells = [f"{speed.median_ms:.2f} / {speed.per_second:.0f}" for speed in self.speeds.values()]
        return f"| {self.engine} | {self.where} | {worst} | {self.memory:.0f} | {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Way:
    """One way to run an engine; `kept` is the TensorRT engine."""

    name: str
    devices: tuple[str, ...]
    kept: Kept | None = None
    graphs: bool = False


def free_memory() -> float:
    """Of the GPU, MB; 0 where there is none."""
    gpu = look(ctypes.CDLL, lambda: None).gpu
    return gpu.free / 1e6 if gpu else 0.0


def ways(model: Path, choice: Choice, told: list[str]) -> Iterator[Way]:
    """How the engine can be run here, the CPU first; what cannot be built is told."""
    yield Way("cpu", ("cpu",))
    if "cuda" in choice.devices:
        for graphs in (False, True):
            yield Way("cuda" + ", graphs" * graphs, ("cuda", "cpu"), None, graphs)
    for precision in PRECISIONS if "tensorrt" in choice.devices else ():
        try:
            kept = compile_engine(model, print, (precision,))
        except EngineError as error:
            told.append(f"{model.stem} on tensorrt {precision}: {error}")
            continue
        if kept.refused:  # that the other precision is used then is no fault
            print(f"{model.stem} on tensorrt {precision}: {kept.refused}")
            continue
        for graphs in (False, True):
            yield Way(f"tensorrt {precision}" + ", graphs" * graphs, ON_TENSORRT, kept, graphs)


def started(model: Path, way: Way) -> Run:
    """Raises EngineError: it does not run that way."""
    try:
        return sessions.start_on(way.devices, model, default_threads(), {}, way.kept, way.graphs).run
    except (*sessions.FILE_ERRORS, *sessions.START_ERRORS) as error:
        raise EngineError(sessions.one_line(error)) from error


def compared(
    model: Path,
    where: str,
    start: Callable[[], Run],
    inputs: list[dict[str, Array]],
    wanted: list[Mapping[str, Array]],
    seconds: float,
) -> Row:
    """Raises EngineError: it does not run."""
    before = free_memory()
    run = start()
    try:
        found = [dict(zip(wanted[0], run(one), strict=True)) for one in inputs]
        memory = before - free_memory()
        speeds = {streams: measure(partial(run, inputs[0]), seconds, streams) for streams in STREAMS}
    except sessions.RUN_ERRORS as error:
        raise EngineError(sessions.one_line(error)) from error
    return Row(model.stem, where, differences(wanted, found), memory, speeds)


def rows_of(model: Path, choice: Choice, seconds: float, told: list[str]) -> Iterator[Row]:
    """Each way that works; what does not, or differs too much, is told."""
    inputs, wanted = reference(model)
    for way in ways(model, choice, told):
        try:
            row = compared(model, way.name, partial(started, model, way), inputs, wanted, seconds)
        except EngineError as error:
            told.append(f"{model.stem} on {way.name}: {error}")
            continue
        print(row, flush=True)
        told += [row.wrong] if row.wrong else []
        yield row


def frames(choice: Choice, seconds: float, told: list[str]) -> Iterator[str]:
    """The whole chain on each device, one line each."""
    for device in reversed(choice.devices):
        try:
            settings = Settings.model_validate({"device": device, "seconds": seconds, "size": SIZE})
            result = bench.run(settings, lambda *_: None)
        except EngineError as error:
            told.append(f"the whole chain on {device}: {error}")
            continue
        stages = ", ".join(f"{name} {value:.1f}" for name, value in result.stages_ms.items())
        drawn = sum(result.stages_ms[name] for name in DRAWN)
        yield f"| {device} | {drawn:.1f} | {result.fps:.0f} | {result.mouth_open_fps:.0f} | {stages} |"


def table(rows: list[Row], chains: list[str], choice: Choice) -> str:
    found = machine()
    gpu = found.gpu
    about = (
        f"{gpu.name if gpu else 'No GPU'}, driver {found.driver or '-'}, cuDNN {found.cudnn or '-'}, TensorRT "
        f"{found.tensorrt or '-'}, ONNX Runtime {ort.__version__}. Cells: median ms of one run / runs a second of all "
        "streams together. GPU MB: what loading and a first run took; the first row on a GPU holds the libraries too."
    )
    heads = [
        "engine",
        "on",
        "largest difference from the CPU",
        "GPU MB",
        *(f"{n} stream{'s' * (n > 1)}" for n in STREAMS),
    ]
    lines = [about, "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *map(str, rows), ""]
    lines += [
        f"| whole chain, {SIZE} | tracker, mouth and warp, ms | frames a second | mouth wide open | median ms of each stage |",
        "| --- " * 5 + "|",
        *chains,
    ]
    return "\n".join([*lines, *(["", f"{choice}."] if choice.refusals else [])]) + "\n"


def written(text: str, table: str) -> str:
    """The page with another table. Raises ValueError: it has no place for one."""
    before, begins, rest = text.partition(BEGINS)
    _, ends, after = rest.partition(ENDS)
    if not begins or not ends:
        raise ValueError(f"no place for a table: wanted {BEGINS.strip()} and {ENDS}")
    return f"{before}{BEGINS}{table}{ENDS}{after}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--docs", type=Path, default=DOCS)
    options = parser.parse_args()
    page, told = options.docs.read_text(encoding="utf-8"), list[str]()
    try:
        choose_providers("cuda")
        choice = choose_providers("auto")
    except EngineError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    rows = [row for name in ENGINES for row in rows_of(shipped(name), choice, options.seconds, told)]
    made = table(rows, list(frames(choice, 5 * options.seconds, told)), choice)
    options.docs.write_text(written(page, made), encoding="utf-8")
    print(made)
    for line in told:
        print(f"gpu-check: {line}", file=sys.stderr)
    raise SystemExit(1 if told else 0)


if __name__ == "__main__":
    main()
