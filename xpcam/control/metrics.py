"""Prometheus' text format, version 0.0.4, of what a run counts."""

from collections.abc import Iterator, Mapping
from itertools import accumulate

from xpcam.control.models import Status
from xpcam.meter import BOUNDS, Durations, Meter

STATES = ("following", "idling", "asleep")
PARTS = ("camera", "engines", "face", "output")


def metrics(status: Status, meter: Meter) -> str:
    """All metrics of a run."""
    return "\n".join((*_lines(status, meter), ""))


def _lines(status: Status, meter: Meter) -> Iterator[str]:
    frames, rates = status.frames, status.rates
    yield from _one("info", "gauge", "The run.", 1, {"version": status.version, "instance_name": status.name})
    for name, meaning, value in (
        ("frames_generated_total", "Pictures made from a new camera frame.", frames.generated),
        ("frames_published_total", "Pictures the output was given.", frames.published),
        ("frames_dropped_total", "Camera frames overtaken by a newer one.", frames.dropped),
        ("frames_late_total", "Pictures left out because they came too late.", frames.late),
    ):
        yield from _one(name, "counter", meaning, value)
    yield from _one("fps_generated", "gauge", "Pictures generated per second.", rates.generated)
    yield from _one("fps_published", "gauge", "Pictures published per second.", rates.published)
    if status.quality is not None:
        yield from _one("quality_step", "gauge", "0: full; above: less, for the rate.", status.quality.step)
        yield from _one("quality_changes_total", "counter", "Changes of the step.", status.quality.changes)
        if (held := status.quality.held_by_others) is not None:
            yield from _one(
                "cores_held_ratio", "gauge", "Of its time the frame loop waited for a core.", held
            )
    if status.readers is not None:
        yield from _one("readers", "gauge", "Programs that look, at least.", status.readers)
    yield from _one("memory_bytes", "gauge", "Resident memory.", status.memory_mb * 1e6)
    yield from _one("uptime_seconds", "gauge", "Since the run began.", status.uptime_s)
    yield from _several("state", "What is being done.", "state", {s: int(s == status.state) for s in STATES})
    yield from _several(
        "fault", "1 while it does not work.", "part", {p: int(p in status.faults) for p in PARTS}
    )
    yield from _one("stood_still_seconds", "gauge", "In which nothing went on.", status.stood_still_s)
    yield from _head("engine_info", "gauge", "On which device each engine runs.")
    for engine, device in status.engines.items():
        yield f"xpcam_engine_info{_labels({'engine': engine, 'device': device})} 1"
    yield from _head("stage_seconds", "histogram", "Time of each stage of a frame.")
    for stage, durations in meter.stages.items():
        yield from _histogram("stage_seconds", durations, {"stage": stage})
    yield from _head("latency_seconds", "histogram", "From the camera's delivery to the output's.")
    yield from _histogram("latency_seconds", meter.latency, {})


def _head(name: str, kind: str, meaning: str) -> Iterator[str]:
    yield f"# HELP xpcam_{name} {meaning}"
    yield f"# TYPE xpcam_{name} {kind}"


def _one(
    name: str, kind: str, meaning: str, value: float, labels: Mapping[str, str] | None = None
) -> Iterator[str]:
    yield from _head(name, kind, meaning)
    yield f"xpcam_{name}{_labels(labels or {})} {value:g}" if kind == "gauge" else f"xpcam_{name} {value:.0f}"


def _several(name: str, meaning: str, label: str, values: Mapping[str, int]) -> Iterator[str]:
    yield from _head(name, "gauge", meaning)
    for which, value in values.items():
        yield f"xpcam_{name}{_labels({label: which})} {value}"


def _histogram(name: str, durations: Durations, labels: Mapping[str, str]) -> Iterator[str]:
    counts = list(accumulate(durations.buckets))  # of one reading: the frame loop goes on counting
    for bound, count in zip((*map(str, BOUNDS), "+Inf"), counts, strict=True):
        yield f"xpcam_{name}_bucket{_labels({**labels, 'le': bound})} {count}"
    yield f"xpcam_{name}_sum{_labels(labels)} {durations.total:.6f}"
    yield f"xpcam_{name}_count{_labels(labels)} {counts[-1]}"


def _labels(labels: Mapping[str, str]) -> str:
    def escaped(value: str) -> str:
        return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")

    said = ",".join(f'{name}="{escaped(value)}"' for name, value in labels.items())
    return f"{{{said}}}" if said else ""
