"""The parts of `make gpu-check` that need no GPU; golden inputs, differences and speeds."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from models import write_model

from engines import gpu_check
from engines.gpu_check import BEGINS, DOCS, ENDS, Row, compared, rows_of, table, written
from xpcam.inference import providers
from xpcam.inference.accuracy import MOMENTS, Difference, differences, golden_inputs
from xpcam.inference.engine import Engine
from xpcam.inference.measuring import Speed, measure
from xpcam.inference.providers import Choice
from xpcam.resources import shipped

CPU_ONLY = Choice(("cpu",), {"cuda": "no NVIDIA GPU"})
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


def test_the_cpu_is_compared_with_itself(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "STREAMS", (1, 3))
    (row,) = rows_of(model, CPU_ONLY, 0.01)
    assert row.where == "cpu"
    assert row.right
    assert [one.found for one in row.differences] == [0.0]
    assert list(row.speeds) == [1, 3]
    assert "| means | cpu | result 0 (<= " in table([row], ["| cpu | 30 | track 5.0 |"], CPU_ONLY)
    assert "CUDA not used: no NVIDIA GPU." in table([row], [], CPU_ONLY)


def test_what_differs_is_seen(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_check, "STREAMS", (1,))
    image = {"image": np.zeros((1, 8, 8, 3), np.uint8)}
    wanted = [{"score": np.zeros(3), "landmarks": np.zeros(3)}]
    found = {"score": np.array([0, 0.02, 0]), "landmarks": np.array([0, -0.2, 0])}
    row = compared(model, "cuda", lambda: lambda _: found, [image], [*wanted], 0.01)
    assert not row.right
    assert "score 0.02 (<= 0.01)" in str(row)


@pytest.mark.parametrize(("found", "wrong"), [(0.2, False), (0.3, False), (0.31, True), (float("nan"), True)])
def test_a_tolerance_is_a_limit(found: float, wrong: bool) -> None:
    assert Difference("landmarks", found, 0.3).too_large is wrong
    assert Row("means", "cuda", (Difference("landmarks", found, 0.3),), 0.0, {1: SPEED}).right is not wrong


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
