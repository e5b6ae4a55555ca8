"""Engines: what is loaded, what is refused, and which device runs it."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from gpus import InMemory, machine
from models import write_model
from onnxruntime.capi.onnxruntime_pybind11_state import EPFail, RuntimeException

from xpcam.errors import EngineError
from xpcam.inference import binding, providers, sessions, trt_build
from xpcam.inference import engine as inference
from xpcam.inference.engine import Contract, Engine, EngineReport
from xpcam.inference.preflight import Machine
from xpcam.inference.providers import Choice, Device, choose_providers
from xpcam.inference.tensor import Tensor
from xpcam.inference.trt_build import key_of
from xpcam.inference.trt_cache import Kept

IMAGE = Tensor("uint8", (1, 8, 8, 3))
MEAN = Tensor("float32", (1, 3))


@pytest.fixture(autouse=True)
def forget_choices() -> Iterator[None]:
    choose_providers.cache_clear()
    yield
    choose_providers.cache_clear()


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "machine", Machine)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


def test_an_engine_runs_and_says_what_it_is(model: Path) -> None:
    with Engine(model, device="cpu", contract=Contract({"image": IMAGE}, {"result": MEAN})) as engine:
        result = engine.run({"image": np.full((1, 8, 8, 3), 7, np.uint8)})
        assert engine.name == "means"
        assert engine.device == "cpu"
        assert engine.inputs == {"image": IMAGE}
        assert engine.outputs == {"result": MEAN}
        assert engine.metadata["licence"] == "Apache-2.0"
    np.testing.assert_allclose(result["result"], [[8, 8, 8]])


def test_half_precision_constants_are_taken(tmp_path: Path) -> None:
    engine = Engine(write_model(tmp_path / "half.onnx", [1, 8, 8, 3], half=True), device="cpu")
    np.testing.assert_allclose(engine.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})["result"], [[1, 1, 1]])


def test_outputs_belong_to_the_caller(model: Path) -> None:
    engine = Engine(model, device="cpu")
    first = engine.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})["result"]
    engine.run({"image": np.full((1, 8, 8, 3), 200, np.uint8)})
    np.testing.assert_allclose(first, [[1, 1, 1]])


def test_a_closed_engine_says_so(model: Path) -> None:
    engine = Engine(model, device="cpu")
    engine.close()
    engine.close()
    with pytest.raises(ValueError, match="engine means is closed"):
        engine.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x08\x12"])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "damaged.onnx"
    path.write_bytes(content)
    with pytest.raises(EngineError, match=r"damaged.onnx cannot be loaded .* reinstall xpcam") as caught:
        Engine(path, device="cpu")
    assert "\n" not in str(caught.value)


def test_a_truncated_file_is_refused(model: Path) -> None:
    model.write_bytes(model.read_bytes()[:-40])
    with pytest.raises(EngineError, match="cannot be loaded"):
        Engine(model, device="cpu")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"no engine file at .*gone.onnx"):
        Engine(tmp_path / "gone.onnx", device="cpu")


@pytest.mark.parametrize(
    "contract",
    [
        Contract({"image": Tensor("uint8", (1, 16, 16, 3))}),
        Contract({"image": Tensor("float32", (1, 8, 8, 3))}),
        Contract({"picture": IMAGE}),
        Contract({"image": IMAGE, "mask": IMAGE}),
        Contract({"image": IMAGE}, {"result": Tensor("float32", (1, 4))}),
        Contract({"image": IMAGE}, {"landmarks": MEAN}),
    ],
)
def test_another_model_is_refused(model: Path, contract: Contract) -> None:
    with pytest.raises(EngineError, match="is another model: found .* wanted"):
        Engine(model, device="cpu", contract=contract)


def test_variable_shapes_are_refused(tmp_path: Path) -> None:
    path = write_model(tmp_path / "loose.onnx", ["batch", 8, 8, 3])
    with pytest.raises(EngineError, match="is not an engine of xpcam"):
        Engine(path, device="cpu")


@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_gpu_that_is_not_there_is_an_error_with_a_remedy(no_gpu: None, model: Path, device: Device) -> None:
    with pytest.raises(EngineError, match=f"--device {device} is not possible, .* use --device auto"):
        Engine(model, device=device)


def test_without_a_gpu_auto_runs_on_the_cpu_and_says_nothing(
    no_gpu: None, model: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.INFO)
    engine = Engine(model, device="auto")
    assert engine.device == "cpu"
    assert [record.message for record in caplog.records] == ["engine means runs on CPU"]
    assert engine.report.refusals.keys() == {"tensorrt", "cuda"}
    assert capfd.readouterr() == ("", "")


def test_a_gpu_that_cannot_be_used_is_told_once(
    monkeypatch: pytest.MonkeyPatch, model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    everything = [provider for _, provider in providers.NAMES.values()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(providers, "machine", lambda: machine(cuda=(12, 2), driver="535.1"))
    assert [Engine(model).device for _ in range(2)] == ["cpu", "cpu"]
    (refusal,) = [record for record in caplog.records if "not used" in record.message]
    assert refusal.levelno == logging.INFO
    assert "TensorRT not used: the driver 535.1 runs CUDA 12.2" in refusal.message
    assert "CUDA not used: the driver 535.1" in refusal.message


def test_the_order_is_tensorrt_cuda_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    assert choose_providers("auto") == Choice(("tensorrt", "cuda", "cpu"), {})
    assert choose_providers("cuda") == Choice(("cuda", "cpu"), {})
    assert choose_providers("tensorrt") == Choice(("tensorrt", "cuda", "cpu"), {})
    assert choose_providers("cpu") == Choice(("cpu",), {})


def test_one_refused_device_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse = {"tensorrt": "not installed: libnvinfer.so.10", "cuda": ""}
    monkeypatch.setattr(providers, "_refusal", refuse.__getitem__)
    choice = choose_providers("auto")
    assert choice.devices == ("cuda", "cpu")
    assert str(choice) == "TensorRT not used: not installed: libnvinfer.so.10"


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = [provider for _, provider in providers.NAMES.values()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(providers, "machine", lambda: machine(missing=frozenset({"libcudnn.so.9"})))
    with pytest.raises(EngineError, match=r"not installed: libcudnn.so.9: pip install 'xpcam\[cuda\]'"):
        choose_providers("cuda")


def test_a_build_without_gpus_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(EngineError, match="this ONNX Runtime is built without it"):
        choose_providers("tensorrt")


def test_a_gpu_that_does_not_start_is_an_error_when_it_was_asked_for(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    monkeypatch.setattr(ort.InferenceSession, "get_providers", lambda self: ["CPUExecutionProvider"])
    monkeypatch.setattr(sessions, "load", lambda path, *_: ort.InferenceSession(str(path)))
    with pytest.raises(EngineError, match="--device cuda is not possible, it did not start"):
        Engine(model, device="cuda")


def refuse_gpus(
    monkeypatch: pytest.MonkeyPatch, errors: dict[str, Exception], at_run: bool = False
) -> list[list[str]]:
    """Sessions that fail on the given devices, as they are made or as they first run; what was tried."""
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    tried: list[list[str]] = []
    real = ort.InferenceSession

    def make(
        model: Path, options: object, providers: list[str], provider_options: list[object], **named: object
    ) -> object:
        assert named == {"enable_fallback": 0}
        assert len(provider_options) == len(providers)
        tried.append([name.removesuffix("ExecutionProvider") for name in providers])
        error = errors.get(tried[-1][0])
        if error is not None and not at_run:
            raise error
        session = real(model, options, providers=["CPUExecutionProvider"])
        monkeypatch.setattr(session, "get_providers", lambda: providers)
        if error is not None:
            for way in ("run", "run_with_iobinding"):
                monkeypatch.setattr(session, way, lambda *_: (_ for _ in ()).throw(error))
        return session

    monkeypatch.setattr(ort, "InferenceSession", make)
    monkeypatch.setattr(binding, "on_gpu", InMemory)
    return tried


@pytest.mark.parametrize("at_run", [False, True])
def test_auto_goes_on_to_the_next_device_when_one_fails(
    at_run: bool,
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    kept = Kept(model.parent, key_of(model, "fp16", machine()), "", "", 0)
    monkeypatch.setattr(trt_build, "ready", lambda model: (kept, ""))
    errors = {
        "Tensorrt": EPFail("[ONNXRuntimeError] : 11 : no\nplan"),
        "CUDA": RuntimeError("CUDA failure 2"),
    }
    tried = refuse_gpus(monkeypatch, errors, at_run)
    report = Engine(model, device="auto").report
    assert report == EngineReport("means", "cpu", "", {"tensorrt": "11 : no plan", "cuda": "CUDA failure 2"})
    assert str(report) == "means on CPU; not TensorRT: 11 : no plan; not CUDA: CUDA failure 2"
    assert tried == [["Tensorrt", "CUDA", "CPU"], ["CUDA", "CPU"], ["CPU"]]
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [
        "TensorRT not used: 11 : no plan; trying CUDA",
        "CUDA not used: CUDA failure 2; trying CPU",
    ]
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("at_run", [False, True])
def test_a_device_that_was_asked_for_and_fails_is_named(
    at_run: bool, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = refuse_gpus(monkeypatch, {"CUDA": RuntimeException("out of memory")}, at_run)
    with pytest.raises(
        EngineError, match="--device cuda is not possible, out of memory; or use --device auto"
    ):
        Engine(model, device="cuda")
    assert tried == [["CUDA", "CPU"]]


def test_a_failing_cpu_is_the_end(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing = {name: RuntimeException("no memory") for name in ("CUDA", "CPU")}
    refuse_gpus(monkeypatch, failing)
    monkeypatch.setattr(trt_build, "ready", lambda model: (None, "refused"))
    with pytest.raises(EngineError, match=r"means.onnx cannot be loaded \(no memory\)"):
        Engine(model, device="auto")


def test_a_damaged_file_is_tried_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tried = refuse_gpus(monkeypatch, {})
    monkeypatch.setattr(trt_build, "ready", lambda model: (None, "refused"))
    (tmp_path / "damaged.onnx").write_bytes(b"not a model at all")
    with pytest.raises(EngineError, match="cannot be loaded"):
        Engine(tmp_path / "damaged.onnx", device="auto")
    assert len(tried) == 1
    assert caplog.text == ""


def test_a_failure_while_running_is_named(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(model, device="cpu")

    def fail(self: object, names: object, inputs: object) -> None:
        raise RuntimeException("[ONNXRuntimeError] : 6 : out\nof memory")

    monkeypatch.setattr(ort.InferenceSession, "run", fail)
    with pytest.raises(EngineError, match="engine means failed on CPU: 6 : out of memory; free some memory"):
        engine.run({"image": np.zeros((1, 8, 8, 3), np.uint8)})


def test_threads_follow_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0}, raising=False)
    assert inference.default_threads() == 1
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)
    assert inference.default_threads() == inference.MOST_THREADS
