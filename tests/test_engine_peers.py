"""What users of other programs suffer from on GPUs, and what happens here instead."""

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from gpus import MACHINE, Card, InMemory, OnCard, machine
from models import write_model
from typer.testing import CliRunner

from xpcam import cli
from xpcam.commands import engines as command
from xpcam.inference import binding, compiling, providers, sessions, trt_build
from xpcam.inference.engine import Engine
from xpcam.inference.measuring import measure
from xpcam.inference.preflight import Machine
from xpcam.inference.providers import choose_providers

IMAGE = {"image": np.zeros((1, 8, 8, 3), np.uint8)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


@pytest.fixture(autouse=True)
def card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    made = Card()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    everything = [provider for _, provider in providers.NAMES.values()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(ort, "InferenceSession", made.session)
    monkeypatch.setattr(binding, "on_gpu", InMemory)
    on(MACHINE, monkeypatch)
    yield made
    choose_providers.cache_clear()


def on(found: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    choose_providers.cache_clear()
    for module in (providers, trt_build):
        monkeypatch.setattr(module, "machine", lambda: found)


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (machine(driver="535.1", cuda=(12, 2)), "the driver 535.1 runs CUDA 12.2, wanted 13.0: install"),
        (machine(missing=frozenset({"libcudnn.so.9"})), "not installed: libcudnn.so.9: pip install"),
        (machine(free=100 << 20), "100 MB of 8192 MB are free"),
        (MACHINE, "it did not start"),
    ],
)
def test_a_gpu_is_never_silently_unused(
    found: Machine, said: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deep-Live-Cam#1035, #1862, avatarify#51: the GPU idles and nothing says so."""
    on(found, monkeypatch)
    monkeypatch.setattr(
        OnCard, "get_providers", lambda self: ["CPUExecutionProvider"]
    )  # ORT says nothing either
    monkeypatch.setattr(command, "_paths", lambda models: [model])
    (line,) = CliRunner().invoke(cli.app, ["engines", "list"]).stdout.splitlines()
    assert line.startswith("means on CPU; ")
    assert f"; not CUDA: {said}" in line


def test_an_engine_of_another_gpu_is_never_loaded(
    model: Path, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FasterLivePortrait#54, #113: an engine that came with the download, or from before the new card."""
    compiling.compile_engine(model, lambda _: None)
    assert Engine(model, build=False).device == "tensorrt"
    on(machine(name="NVIDIA Test 5000", compute=(12, 0)), monkeypatch)
    card.opened.clear()
    other = Engine(model, build=False)
    assert other.device == "cuda"
    assert other.report.refusals == {"tensorrt": sessions.NOT_BUILT}
    assert card.opened == ["cuda"]


def test_streams_do_not_wait_for_each_other(model: Path, card: Card, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep-Live-Cam#1049, #1533: a large GPU that is no faster, because one thing at a time is done on it."""
    monkeypatch.setattr(OnCard, "run_with_iobinding", lambda *_: time.sleep(0.02))
    both = [Engine(model, device="cuda", build=False) for _ in range(2)]
    assert card.opened == ["cuda"]  # and the weights are there once

    def at_once(streams: int) -> float:
        return measure(partial(both[streams % 2].run, IMAGE), 0.3, streams).per_second

    assert at_once(8) > 2 * at_once(1)
