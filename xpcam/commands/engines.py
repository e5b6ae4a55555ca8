"""engines list, build, bench, clean: the networks that ship, and TensorRT's engines made of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xpcam import resources
from xpcam.errors import EngineError, SettingsError

if TYPE_CHECKING:
    from xpcam.inference.providers import Device
    from xpcam.inference.trt_cache import Kept

app = typer.Typer(help="The networks, and what TensorRT makes of them for this GPU.", no_args_is_help=True)

Models = Annotated[
    list[str] | None, typer.Argument(help="names that 'engines list' shows, or .onnx files; default: all")
]
SHIPPED: Final = tuple(name.removesuffix(".onnx") for name in resources.SHIPPED if name.endswith(".onnx"))
SECONDS: Final = 3.0
STEPS: Final = 2  # to build and to check; fp32 after fp16 makes it more


@app.command("list")
def show() -> None:
    """Show every engine, what runs it here and why nothing faster does, and what is kept of TensorRT's."""
    from xpcam.inference import trt_cache
    from xpcam.inference.engine import Engine

    current = set()
    for model in _paths(None):
        with Engine(model, build=False) as engine:
            print(engine.report)
        current |= _current(model)
    for kept in trt_cache.everything():
        print(f"{kept.folder}: {_state(kept, kept.folder in current)}, {kept.size / 1e6:.1f} MB")


@app.command()
def build(
    models: Models = None,
    precision: Annotated[
        Literal["auto", "fp16", "fp32"],
        typer.Option(help="auto: fp16 where it gives what the CPU gives, else fp32"),
    ] = "auto",
) -> None:
    """Build TensorRT engines for this machine's GPU, where they are not there; can take minutes."""
    from xpcam.inference.compiling import compile_engine
    from xpcam.inference.trt_build import PRECISIONS

    paths = _paths(models)
    wanted = PRECISIONS if precision == "auto" else (precision,)
    refused = []
    with _steps(len(paths) * STEPS) as tell:
        for path in paths:
            kept = compile_engine(path, tell, wanted)
            print(f"{path.stem}: {kept.refused or f'{kept.size / 1e6:.1f} MB in {kept.folder}'}")
            refused += [path.stem] if kept.refused else []
    if refused:
        raise EngineError(f"no TensorRT engine for {', '.join(refused)}: the next best device runs them")


@app.command()
def bench(
    models: Models = None,
    streams: Annotated[int, typer.Option(help="how many run at once", min=1, max=64)] = 1,
    seconds: Annotated[float, typer.Option(help="how long for each", min=0.1, max=600.0)] = SECONDS,
) -> None:
    """Time every engine on every device that works here."""
    from xpcam.inference.providers import choose_providers

    choice = choose_providers("auto")
    for path in _paths(models):
        for device in choice.devices:
            print(_timed(path, device, streams, seconds))
    if choice.refusals:
        print(choice)


@app.command()
def clean(
    everything: Annotated[bool, typer.Option("--all", help="what fits this machine too")] = False,
) -> None:
    """Remove TensorRT engines of other GPUs, drivers and versions, damaged ones, and what builds left."""
    from xpcam.inference import trt_cache

    wanted = set() if everything else set().union(*map(_current, _paths(None)))
    gone = trt_cache.clean(wanted)
    print(f"{len(gone)} removed from {trt_cache.root()}, {sum(kept.size for kept in gone) / 1e6:.1f} MB")


def _timed(path: Path, device: str, streams: int, seconds: float) -> str:
    """One line of `bench`."""
    from xpcam.inference.accuracy import golden_inputs
    from xpcam.inference.engine import Engine
    from xpcam.inference.measuring import measure

    with Engine(path, device=cast("Device", device), build=False) as engine:
        if engine.device != device:
            return f"{engine.name:<16}{device:<14}not built yet: 'xpcam engines build'"
        (feed, *_) = golden_inputs({name: (t.dtype, t.shape) for name, t in engine.inputs.items()})
        speed = measure(partial(engine.run, feed), seconds, streams)
        where = f"{device} {engine.report.precision}"
    return (
        f"{path.stem:<16}{where:<14}{speed.median_ms:8.2f} ms median{speed.p95_ms:8.2f} ms p95"
        f"{speed.per_second:8.0f} a second"
    )


def _paths(models: list[str] | None) -> list[Path]:
    """The .onnx files meant. Raises SettingsError: a name that nothing has."""
    paths = []
    for name in models or SHIPPED:
        path = resources.shipped(f"{name}.onnx") if name in SHIPPED else Path(name).absolute()
        if not path.is_file():
            raise SettingsError(
                f"no engine {name!r}: wanted {', '.join(SHIPPED)}, or an .onnx file; see 'xpcam engines list'"
            )
        paths.append(path)
    return paths


def _current(model: Path) -> set[Path]:
    """The folders in which this machine's engines of a model are kept; none without a GPU."""
    from xpcam.inference.preflight import machine
    from xpcam.inference.trt_build import PRECISIONS, key_of

    return {key_of(model, precision).folder for precision in PRECISIONS} if machine().gpu else set()


def _state(kept: "Kept", current: bool) -> str:
    if kept.damage:
        return f"damaged, {kept.damage}"
    if kept.refused:
        return f"refused, {kept.refused}"
    return "ready" if current else "of another GPU, driver or version"


@contextmanager
def _steps(total: int) -> Iterator[Callable[[str], None]]:
    """A bar on standard error, one step for each thing told."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda what: bar.update(task, description=what, advance=1)
