"""The parts of `make gpu-check` that need no GPU; golden inputs, differences and speeds."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest
from gpus import MACHINE, Card, InMemory, machine
from models import write_model

from engines import gpu_check
from engines.gpu_check import BEGINS, DOCS, ENDS, Row, written
from xpcam import bench
from xpcam.errors import EngineError
from xpcam.inference import binding, preflight, providers, trt_build
from xpcam.inference.accuracy import MOMENTS, Difference, differences, golden_inputs
from xpcam.inference.engine import Engine
from xpcam.inference.measuring import Speed, measure
from xpcam.inference.providers import choose_providers
from xpcam.meter import STAGES
from xpcam.resources import shipped
from xpcam.settings import Settings

SPEED = Speed(1.0, 2.0, 300.0)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


@pytest.mark.skipif(providers.count_gpus() > 0, reason="needs a machine without a GPU")
def test_without_a_gpu_it_says_so_and_fails(tmp_path: Path) -> None:
    page = tmp_path / "gpu.md"
    page.write_text(f"{BEGINS}as it was\n{ENDS}\n", encoding="utf-8")
    command = [sys.executable, "-m", "engines.gpu_check", "--docs", str(page)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 6
    assert result.stderr.startswith("gpu-check: --device cuda is not possible, ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert "as it was" in page.read_text(encoding="utf-8")


def test_the_page_has_a_place_for_the_table() -> None:
    page = DOCS.read_text(encoding="utf-8")
    made = written(page, "a table\n")
    assert made.count("a table") == 1
    assert made.replace("a table\n", "") == written(page, "")
    assert written(made, "another\n") == written(page, "another\n")
    with pytest.raises(ValueError, match="no place for a table"):
        written("# A page", "a table\n")


@pytest.fixture
def card(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    """A machine with a GPU and one engine; the whole chain is not run."""
    made = Card()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for module in (preflight, providers, trt_build, gpu_check):
        monkeypatch.setattr(module, "machine", lambda: MACHINE)
    everything = [provider for _, provider in providers.NAMES.values()]
    monkeypatch.setattr(ort, "get_available_providers", lambda: everything)
    monkeypatch.setattr(ort, "InferenceSession", made.session)
    monkeypatch.setattr(binding, "on_gpu", InMemory)
    monkeypatch.setattr(gpu_check, "free_memory", made.free_memory)
    monkeypatch.setattr(gpu_check, "STREAMS", (1, 3))
    monkeypatch.setattr(gpu_check, "ENGINES", [model.name])
    monkeypatch.setattr(gpu_check, "shipped", lambda name: model)
    monkeypatch.setattr(bench, "run", chain)
    choose_providers.cache_clear()
    yield made
    choose_providers.cache_clear()


def chain(settings: Settings, progress: object) -> bench.BenchResult:
    assert (settings.size, settings.seconds) == ((1280, 720), 0.05)
    stages = {"decode": 50.0, "track": 1.0, "retarget": 0.5, "render": 2.0, "convert": 9.0, "write": 9.0}
    return bench.BenchResult(120.0, {}, stages, 90.0, 0.0, 1.0, 1.0)


def check(page: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[list[str]]]:
    """Exit status, and the table's lines in cells."""
    page.write_text(f"before\n{BEGINS}old{ENDS}\nafter\n", encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["gpu-check", "--seconds", "0.01", "--docs", str(page)])
    with pytest.raises(SystemExit) as ended:
        gpu_check.main()
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n") and text.endswith("after\n")
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return int(ended.value.code or 0), lines


WAYS = ["cpu", "cuda", "cuda, graphs", "tensorrt fp16", "tensorrt fp16, graphs", "tensorrt fp32"]


def test_on_a_gpu_everything_is_compared_timed_and_written(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, lines = check(tmp_path / "gpu.md", monkeypatch)
    assert code == 0
    assert capsys.readouterr().err == ""
    rows = [cells for cells in lines if cells[0] == "means"]
    assert [cells[1] for cells in rows] == [*WAYS, "tensorrt fp32, graphs"]
    assert [cells[3] for cells in rows] == ["0", *["100"] * 6]
    assert all(cells[2].startswith("result 0 (<= ") for cells in rows)
    assert all(len(cells) == 4 + 2 and float(cells[5].split(" / ")[1]) > 0 for cells in rows)
    assert [cells[:4] for cells in lines if cells[0] in ("cpu", "cuda", "tensorrt")] == [
        [device, "3.5", "120", "90"] for device in ("cpu", "cuda", "tensorrt")
    ]


def test_what_differs_or_does_not_run_is_told_and_the_rest_is_written(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card.off = {"cuda": 9.0, "tensorrt fp16": 9.0}  # fp16 that far off is not kept, and that is no fault
    card.broken = {"cuda, graphs", "tensorrt"}
    code, lines = check(tmp_path / "gpu.md", monkeypatch)
    assert code == 1
    assert [cells[1] for cells in lines if cells[0] == "means"] == ["cpu", "cuda"]
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert told[0].startswith("gpu-check: means on cuda: result 9 (<= ")
    assert told[1] == "gpu-check: means on cuda, graphs: no cuda, graphs today"
    assert told[2].startswith("gpu-check: means on tensorrt fp32: TensorRT cannot build means (no tensorrt")


def test_a_chain_that_does_not_run_is_told(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(settings: Settings, progress: object) -> bench.BenchResult:
        if settings.device == "cuda":
            raise EngineError("the GPU is lost")
        return chain(settings, progress)

    monkeypatch.setattr(bench, "run", fail)
    code, lines = check(tmp_path / "gpu.md", monkeypatch)
    assert code == 1
    assert [cells[0] for cells in lines if cells[0] in ("cpu", "cuda", "tensorrt")] == ["cpu", "tensorrt"]
    assert capsys.readouterr().err == "gpu-check: the whole chain on cuda: the GPU is lost\n"


def test_without_tensorrt_the_page_says_why(
    card: Card, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(providers, "machine", lambda: machine(tensorrt="10.9.0"))
    code, lines = check(tmp_path / "gpu.md", monkeypatch)
    assert code == 0
    assert [cells[1] for cells in lines if cells[0] == "means"] == ["cpu", "cuda", "cuda, graphs"]
    assert "TensorRT not used: TensorRT is version 10.9.0, " in (tmp_path / "gpu.md").read_text(
        encoding="utf-8"
    )


def test_every_engine_that_ships_is_checked() -> None:
    assert {"face_params.onnx", "face_detector.onnx"} <= set(gpu_check.ENGINES)
    assert gpu_check.STREAMS[0] == 1 and gpu_check.STREAMS[-1] == 16


def test_a_real_chain_has_the_stages_that_are_summed() -> None:
    assert set(gpu_check.DRAWN) < set(STAGES)


@pytest.mark.parametrize(("found", "wrong"), [(0.2, False), (0.3, False), (0.31, True), (float("nan"), True)])
def test_a_tolerance_is_a_limit(found: float, wrong: bool) -> None:
    one = Difference("landmarks", found, 0.3)
    assert one.too_large is wrong
    assert bool(Row("means", "cuda", (one,), 0.0, {1: SPEED}).wrong) is wrong


def test_an_output_without_a_line_has_a_share_of_its_range() -> None:
    (one,) = differences([{"new": np.array([0.0, -200.0])}], [{"new": np.array([1.0, -200.0])}])
    assert one == Difference("new", 1.0, 2.0)


def test_golden_inputs_show_the_demo_face_and_are_always_the_same() -> None:
    wanted = {"image": ("uint8", (1, 256, 256, 3)), "style": ("float32", (1, 22)), "index": ("int64", (2,))}
    golden = golden_inputs(wanted)
    assert len(golden) == len(MOMENTS)
    for one, again in zip(golden, golden_inputs(wanted), strict=True):
        for name, (dtype, shape) in wanted.items():
            assert one[name].dtype == dtype
            assert one[name].shape == shape
            np.testing.assert_array_equal(one[name], again[name])
    with Engine(shipped("face_params.onnx"), device="cpu") as engine:
        results = [engine.run({"image": one["image"]}) for one in golden]
    assert min(float(result["confidence"][0]) for result in results) > 0.8
    openings = [result["landmarks"][0, 14, 1] - result["landmarks"][0, 13, 1] for result in results]
    assert max(openings) > min(openings) + 3


def test_streams_run_at_once_and_each_at_least_once() -> None:
    calls = list[int]()

    def wait() -> None:
        calls.append(1)
        time.sleep(0.05)

    assert measure(wait, 0.0, 4).per_second > 0
    assert len(calls) == 1 + 4
    assert measure(wait, 0.2, 4).per_second > 1.5 * measure(wait, 0.2, 1).per_second
