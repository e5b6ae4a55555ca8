"""How a run is, for people: some lines, or a view that follows it."""

import time
from collections.abc import Callable
from typing import Any, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from xpcam.governor import BUSY

EVERY: Final = 0.5  # seconds between two looks


def rows(status: dict[str, Any]) -> list[tuple[str, str]]:
    """What there is to say, by name."""
    rates, frames, latency = status["rates"], status["frames"], status["latency_ms"]
    readers = status["readers"]
    width, height = status["size"]
    stages = (f"{name} {times['p50']:.1f}" for name, times in status["stages_ms"].items())
    p95 = (f"{name} {times['p95']:.1f}" for name, times in status["stages_ms"].items())
    return [
        ("state", f"{status['state']}, for {status['uptime_s']:.0f} s (process {status['pid']})"),
        *((f"fault: {part}", fault) for part, fault in status["faults"].items()),
        ("target", f"{status['target']}, {width}x{height}"),
        ("neutral face", status["neutral"]),
        ("camera", status["camera"]),
        ("output", status["output"]),
        ("readers", "not known" if readers is None else str(readers)),
        ("generated", f"{rates['generated']:.1f} pictures per second, {frames['generated']} in all"),
        (
            "published",
            f"{rates['published']:.1f} of {rates['wanted']:.0f} wanted, {frames['published']} in all",
        ),
        ("quality", _quality(status["quality"])),
        ("dropped", f"{frames['dropped']} camera frames; {frames['late']} pictures too late"),
        ("latency", f"{latency['p50']:.1f} ms median, {latency['p95']:.1f} ms p95"),
        ("stages, median", f"{', '.join(stages)} ms"),
        ("stages, p95", f"{', '.join(p95)} ms"),
        ("engines", ", ".join(f"{name} on {device}" for name, device in status["engines"].items()) or "-"),
        *_refused(status["refused"]),
        ("memory", f"{status['memory_mb']:.0f} MB"),
    ]


def _refused(refused: dict[str, dict[str, str]]) -> list[tuple[str, str]]:
    """One row for each device that engines do not use, with the reason; nothing where they use the best."""
    found = {device: why for reasons in refused.values() for device, why in reasons.items()}
    return [(f"not {device}", why) for device, why in found.items()]


def _quality(quality: dict[str, Any] | None) -> str:
    if quality is None:
        return "full, no governor"
    held = quality["held_by_others"]
    waits = f"; waits for a core {100 * held:.0f} % of its time" if held and held >= BUSY else ""
    return f"{quality['name']}: {quality['why']}{waits}"


def lines(status: dict[str, Any]) -> str:
    """The same as text."""
    return "\n".join(f"{name:<15}{value}" for name, value in rows(status))


def watch(look: Callable[[], dict[str, Any]], console: Console | None = None, times: int = 0) -> None:
    """Show how a run is until it ends or this is interrupted; `times` looks, 0 for no end."""
    with Live(console=console, auto_refresh=False) as view:
        seen = 0
        while True:
            table = Table.grid(padding=(0, 2))
            status = look()
            table.add_row("[bold]xpcam", f"[bold]{status['name']}")
            for name, value in rows(status):
                table.add_row(name, Text(value))  # no markup: a remedy may hold brackets
            view.update(table, refresh=True)
            seen += 1
            if seen == times:
                return
            time.sleep(EVERY)
