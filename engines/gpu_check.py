"""Compare and time every engine on every device of a machine with an NVIDIA GPU; writes the table of docs/gpu.md.

    python -m engines.gpu_check [--seconds 2] [--docs docs/gpu.md]

Ends with 1 where an output differs from the CPU's by more than its tolerance, with 6 where there is no GPU.
"""

import argparse
import ctypes
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import onnxruntime as ort

from xpcam import bench
from xpcam.errors import EngineError
from xpcam.inference import trt_build
from xpcam.inference.accuracy import Array, Difference, differences
from xpcam.inference.compiling import compile_engine, opener_of, reference
from xpcam.inference.engine import Engine
from xpcam.inference.measuring import Speed, measure
from xpcam.inference.preflight import look, machine
from xpcam.inference.providers import Choice, choose_providers
from xpcam.inference.trt_build import PRECISIONS, Run
from xpcam.resources import shipped
from xpcam.settings import Settings

STREAMS = (1, 2, 4, 8, 16)
BEGINS, ENDS = "<!-- gpu-check begins -->\n", "<!-- gpu-check ends -->"
DOCS = Path(__file__).parent.parent / "docs" / "gpu.md"


@dataclass(frozen=True, slots=True)
class Row:
    """One engine on one device: differences from the CPU, GPU memory in MB, speed by number of streams."""

    engine: str
    where: str
    differences: tuple[Difference, ...]
    memory: float
    speeds: Mapping[int, Speed]

    @property
    def right(self) -> bool:
        return not any(one.too_large for one in self.differences)

    def __str__(self) -> str:
        worst = max(self.differences, key=lambda one: one.found / one.allowed)
        cells = [f"{speed.median_ms:.2f} / {speed.per_second:.0f}" for speed in self.speeds.values()]
        return f"| {self.engine} | {self.where} | {worst} | {self.memory:.0f} | {' | '.join(cells)} |"


def free_memory() -> float:
    """Of the GPU, MB; 0 where there is none."""
    gpu = look(ctypes.CDLL, lambda: None).gpu
    return gpu.free / 1e6 if gpu else 0.0


def compared(
    model: Path,
    where: str,
    start: Callable[[], Run],
    inputs: list[dict[str, Array]],
    wanted: list[Mapping[str, Array]],
    seconds: float,
) -> Row:
    before = free_memory()
    run = start()
    found = [run(one) for one in inputs]
    memory = before - free_memory()
    speeds = {streams: measure(partial(run, inputs[0]), seconds, streams) for streams in STREAMS}
    return Row(model.stem, where, differences(wanted, found), memory, speeds)


def rows_of(model: Path, choice: Choice, seconds: float) -> Iterator[Row]:
    """The CPU, then whatever else works here."""
    inputs, wanted = reference(model)
    plain: tuple[Literal["cpu", "cuda"], ...] = ("cpu", "cuda")
    for device in plain:
        if device in choice.devices:
            with Engine(model, device=device) as engine:
                yield compared(model, device, lambda: engine.run, inputs, wanted, seconds)
    for precision in PRECISIONS if "tensorrt" in choice.devices else ():
        kept = compile_engine(model, print, (precision,))
        if kept.refused:
            print(f"{model.stem}: TensorRT {precision} {kept.refused}")
            continue
        options = trt_build.run_options(kept)
        yield compared(
            model, f"tensorrt {precision}", partial(opener_of(model), options), inputs, wanted, seconds
        )


def frames(choice: Choice, seconds: float) -> Iterator[str]:
    """The whole chain on each device, one line each."""
    devices: tuple[Literal["cpu", "cuda", "tensorrt"], ...] = ("cpu", "cuda", "tensorrt")
    for device in devices:
        if device in choice.devices:
            result = bench.run(Settings(device=device, seconds=seconds), lambda *_: None)
            stages = ", ".join(f"{name} {value:.1f}" for name, value in result.stages_ms.items())
            yield f"| {device} | {result.fps:.0f} | {stages} |"


def table(rows: list[Row], chains: list[str], choice: Choice) -> str:
    found = machine()
    gpu = found.gpu
    about = (
        f"{gpu.name if gpu else 'No GPU'}, driver {found.driver or '-'}, cuDNN {found.cudnn or '-'}, TensorRT "
        f"{found.tensorrt or '-'}, ONNX Runtime {ort.__version__}. Cells: median ms of one run / runs a second of all "
        "streams together."
    )
    heads = ["engine", "on", "largest difference from the CPU", "GPU MB", *(f"{n} streams" for n in STREAMS)]
    lines = [about, "", f"| {' | '.join(heads)} |", "| --- " * len(heads) + "|", *map(str, rows), ""]
    lines += [
        "| whole chain, 1280x720 | frames a second | median ms of each stage |",
        "| --- | --- | --- |",
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
    try:
        choose_providers("cuda")
        choice = choose_providers("auto")
        rows = []
        for name in ("face_params.onnx", "face_detector.onnx"):
            for row in rows_of(shipped(name), choice, options.seconds):
                print(row, flush=True)
                rows.append(row)
        made = table(rows, list(frames(choice, 5 * options.seconds)), choice)
    except EngineError as error:
        print(f"gpu-check: {error}", file=sys.stderr)
        raise SystemExit(error.exit_code) from None
    options.docs.write_text(written(options.docs.read_text(encoding="utf-8"), made), encoding="utf-8")
    print(made)
    wrong = [f"{row.engine} on {row.where}" for row in rows if not row.right]
    raise SystemExit(f"gpu-check: too far from the CPU: {', '.join(wrong)}" if wrong else 0)


if __name__ == "__main__":
    main()
