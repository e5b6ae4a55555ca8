"""A TensorRT engine that is built beside the camera takes over between two frames."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from gpus import InMemory, machine
from models import write_model
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException

from xpcam.errors import EngineError
from xpcam.inference import binding, compiling, providers, sessions, switching, trt_build
from xpcam.inference import engine as engines
from xpcam.inference.engine import Engine, EngineReport, Running
from xpcam.inference.providers import choose_providers
from xpcam.inference.trt_build import key_of
from xpcam.inference.trt_cache import Kept

IMAGE = {"image": np.zeros((1, 8, 8, 3), np.uint8)}


class Gpu:
    """Runs every session, on the CPU in truth; on TensorRT the results are 10 more."""

    def __init__(self) -> None:
        self.kept: Kept | None = None
        self.why = ""
        self.done: list[Callable[[str], None]] = []
        self.broken: set[str] = set()
        self.started: list[str] = []
        self.graphs: list[bool] = []

    def wait(self, model: Path, done: Callable[[str], None]) -> str:
        self.done.append(done)
        return ""

    def session(
        self,
        model: Path,
        options: object,
        providers: list[str],
        provider_options: list[dict[str, str]],
        **_: int,
    ) -> object:
        device = providers[0].removesuffix("ExecutionProvider").lower()
        assert ("trt_engine_cache_path" in provider_options[0]) == (device == "tensorrt")
        self.started.append(device)
        self.graphs.append(any("cuda_graph" in name for name in provider_options[0]))
        if device in self.broken:
            raise RuntimeException(f"{device} is broken")
        return Session(model, providers)


class Session:
    def __init__(self, model: Path, active: list[str]) -> None:
        self.real = REAL(model, providers=["CPUExecutionProvider"])
        self.active = active
        self.more = np.float32(10 if active[0].startswith("Tensorrt") else 0)

    def run(self, names: None, inputs: dict[str, Any]) -> list[Any]:
        return [result + self.more for result in self.real.run(names, inputs)]

    def run_with_iobinding(self, binding: ort.IOBinding, options: None) -> None:
        self.real.run_with_iobinding(binding, options)
        for value in binding.get_outputs():
            value.numpy()[...] += self.more  # in memory of the CPU it is the value itself

    def get_providers(self) -> list[str]:
        return self.active

    def __getattr__(self, name: str) -> Any:
        return getattr(self.real, name)


REAL = ort.InferenceSession


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gpu]:
    made = Gpu()
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    monkeypatch.setattr(ort, "InferenceSession", made.session)
    monkeypatch.setattr(binding, "on_gpu", InMemory)
    monkeypatch.setattr(trt_build, "ready", lambda model: (made.kept, made.why))
    monkeypatch.setattr(switching, "build_beside", made.wait)
    monkeypatch.setattr(engines, "RETIRES", 0.0)
    choose_providers.cache_clear()
    yield made
    choose_providers.cache_clear()


def built(gpu: Gpu, model: Path) -> None:
    gpu.kept = Kept(model.parent, key_of(model, "fp16", machine()), "", "", 0)


@pytest.mark.parametrize("device", ["auto", "tensorrt"])
def test_cuda_runs_until_tensorrt_is_built(device: providers.Device, gpu: Gpu, model: Path) -> None:
    engine = Engine(model, device=device)
    running = Running(engine)
    assert dict(running) == {"means": "cuda"}
    assert str(engine.report) == "means on CUDA; not TensorRT: its engine is being built"
    assert engine.run(IMAGE)["result"][0, 0] == 1
    built(gpu, model)
    gpu.done[0]("")
    assert dict(running) == {"means": "tensorrt"}
    assert running.reports == (EngineReport("means", "tensorrt", "fp16", {}),)
    assert engine.run(IMAGE)["result"][0, 0] == 11


def test_without_being_asked_nothing_is_built(gpu: Gpu, model: Path) -> None:
    assert Engine(model, build=False).report.refusals == {"tensorrt": sessions.NOT_BUILT}
    Engine(model, device="cuda")
    gpu.why = "fp32: differs from the CPU"
    assert Engine(model).report.refusals == {"tensorrt": "fp32: differs from the CPU"}
    assert gpu.done == []


def test_what_is_built_is_used_at_once(gpu: Gpu, model: Path) -> None:
    built(gpu, model)
    assert Engine(model).device == "tensorrt"
    assert gpu.started == ["tensorrt"]
    assert gpu.done == []


def test_a_build_that_fails_leaves_cuda_and_says_why(gpu: Gpu, model: Path) -> None:
    engine = Engine(model)
    gpu.done[0]("no room")
    assert str(engine.report) == "means on CUDA; not TensorRT: no room"
    assert engine.run(IMAGE)["result"][0, 0] == 1


def test_an_engine_that_does_not_start_leaves_cuda(gpu: Gpu, model: Path) -> None:
    engine = Engine(model)
    built(gpu, model)
    gpu.broken = {"tensorrt"}
    gpu.done[0]("")
    assert engine.report == EngineReport("means", "cuda", "", {"tensorrt": "tensorrt is broken"})
    assert engine.run(IMAGE)["result"][0, 0] == 1


def test_a_closed_engine_takes_nothing_over(gpu: Gpu, model: Path) -> None:
    engine = Engine(model)
    engine.close()
    built(gpu, model)
    gpu.done[0]("")
    assert gpu.started == ["cuda"]
    with pytest.raises(ValueError, match="is closed"):
        engine.run(IMAGE)


def test_frames_go_on_while_the_engine_changes(gpu: Gpu, model: Path) -> None:
    """Each result is of one session, none fails, and the old one is left while a run is under way."""
    engine, results, halfway, stop = Engine(model), list[float](), Event(), Event()

    def follow() -> None:
        while not stop.is_set():
            results.append(float(engine.run(IMAGE)["result"][0, 0]))
            if len(results) == 20:
                halfway.set()

    thread = Thread(target=follow)
    thread.start()
    try:
        assert halfway.wait(10)
        built(gpu, model)
        gpu.done[0]("")
        seen = len(results)
        while len(results) < seen + 20 and thread.is_alive():
            stop.wait(0.001)
    finally:
        stop.set()
        thread.join()
    assert results == sorted(results)
    assert set(results) == {1.0, 11.0}


def test_sessions_on_a_gpu_are_shared_and_freed_with_the_last(gpu: Gpu, model: Path) -> None:
    first, second = Engine(model, device="cuda"), Engine(model, device="cuda")
    assert gpu.started == ["cuda"]
    first.close()
    assert second.run(IMAGE)["result"][0, 0] == 1
    second.close()
    Engine(model, device="cuda")
    assert gpu.started == ["cuda", "cuda"]


def test_recorded_graphs_are_asked_for_on_every_device_and_not_shared(gpu: Gpu, model: Path) -> None:
    recorded, plain = Engine(model, graphs=True), Engine(model)
    assert gpu.graphs == [True, False]
    built(gpu, model)
    for done in gpu.done:
        done("")
    assert recorded.device == plain.device == "tensorrt"
    assert gpu.graphs[2:] == [True, False]


def test_engines_of_two_precisions_are_not_shared(gpu: Gpu, model: Path) -> None:
    live = []
    for precision in ("fp16", "fp32"):
        key = key_of(model, precision, machine())
        kept = Kept(model.parent / precision, key, "", "", 0)
        live.append(sessions.start_on(compiling.ON_TENSORRT, model, 1, {}, kept, graphs=False))
    assert [one.precision for one in live] == ["fp16", "fp32"]
    assert live[0].session is not live[1].session


def test_on_the_cpu_each_has_its_own(gpu: Gpu, model: Path) -> None:
    both = [Engine(model, device="cpu"), Engine(model, device="cpu")]
    assert len(both) == len(gpu.started) == 2


def test_a_session_that_failed_is_not_shared(gpu: Gpu, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lose(*_: object) -> None:
        raise RuntimeException("the GPU is lost")

    engine = Engine(model, device="cuda")
    monkeypatch.setattr(Session, "run_with_iobinding", lose)
    with pytest.raises(EngineError, match="failed on CUDA: the GPU is lost; try --device cpu"):
        engine.run(IMAGE)
    monkeypatch.undo()
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    monkeypatch.setattr(ort, "InferenceSession", gpu.session)
    monkeypatch.setattr(binding, "on_gpu", InMemory)
    assert Engine(model, device="cuda").run(IMAGE)["result"][0, 0] == 1
    assert gpu.started == ["cuda", "cuda"]


@pytest.fixture
def nothing_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(switching, "_failed", {})


def wait_for(model: Path, program: str, monkeypatch: pytest.MonkeyPatch, times: int = 1) -> list[str]:
    monkeypatch.setattr(switching, "command", lambda model: [sys.executable, "-c", program])
    said, ended = list[str](), Event()

    def done(why: str) -> None:
        said.append(why)
        if len(said) == times:
            ended.set()

    for _ in range(times):
        assert switching.build_beside(model, done) == ""
    assert ended.wait(30)
    return said


@pytest.mark.usefixtures("nothing_failed")
def test_the_builder_is_another_process(
    model: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    program = (
        f"import os, time; print('a lot'); time.sleep(.5); nice = os.getpriority(os.PRIO_PROCESS, 0)\n"
        f"open({str(model) + '.log'!r}, 'a').write(f'{{nice}} ')"
    )
    assert wait_for(model, program, monkeypatch, times=3) == ["", "", ""]
    (nice,) = map(int, Path(f"{model}.log").read_text(encoding="utf-8").split())  # one for all three
    assert nice >= switching.NICE
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("nothing_failed")
def test_a_builder_that_fails_is_heard_and_not_tried_again(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    program = "import sys; sys.exit('xpcam: 5 MB are free')"
    assert wait_for(model, program, monkeypatch) == ["5 MB are free"]
    assert [r.message for r in caplog.records if r.levelno == logging.WARNING] == [
        "TensorRT not used for means: 5 MB are free"
    ]
    assert switching.build_beside(model, pytest.fail) == "5 MB are free"


def test_what_the_builder_is_told_is_a_command(model: Path, tmp_path: Path) -> None:
    """It refuses here, in one line, where no GPU is; elsewhere it would build."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "XDG_CACHE_HOME": str(tmp_path)}
    result = subprocess.run(switching.command(model), capture_output=True, text=True, env=environment)
    assert result.returncode == EngineError.exit_code
    assert result.stderr.startswith("xpcam: --device tensorrt is not possible, ")
    assert result.stderr.count("\n") == 1
