"""`xpcam engines`: what it shows, builds and removes, on a machine with a GPU and on one without."""

import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gpus import EMPTY, MACHINE
from models import write_model
from rich.console import Console
from test_trt_build import Builder
from typer.testing import CliRunner, Result

from xpcam import cli
from xpcam.commands import watching
from xpcam.commands.engines import SHIPPED
from xpcam.errors import EngineError, SettingsError
from xpcam.inference import compiling, preflight, providers, trt_build, trt_cache
from xpcam.inference.compiling import reference
from xpcam.inference.providers import choose_providers
from xpcam.inference.trt_build import build, key_of


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    choose_providers.cache_clear()
    yield tmp_path / "xpcam" / "engines"
    choose_providers.cache_clear()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


def on(machine: preflight.Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (preflight, providers, trt_build):
        monkeypatch.setattr(module, "machine", lambda: machine)


@pytest.fixture
def builder(monkeypatch: pytest.MonkeyPatch) -> Builder:
    """A machine with a GPU, and what builds on it."""
    on(MACHINE, monkeypatch)
    monkeypatch.setattr(providers, "_refusal", lambda device: "")
    made = Builder()
    monkeypatch.setattr(compiling, "opener_of", lambda model: made)
    return made


def engines(*arguments: str) -> Result:
    return CliRunner().invoke(cli.app, ["engines", *arguments])


def test_without_a_gpu_the_engines_are_shown_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    on(EMPTY, monkeypatch)
    result = engines("list")
    lines = result.stdout.splitlines()
    assert [line.split(";")[0] for line in lines] == [f"{name} on CPU" for name in SHIPPED]
    assert {"face_params", "face_detector"} <= set(SHIPPED)
    assert all("not CUDA: no NVIDIA GPU with a driver found: install" in line for line in lines)
    assert result.stderr == ""
    assert "0 removed from" in engines("clean").stdout


def test_without_a_gpu_nothing_is_built(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    on(EMPTY, monkeypatch)
    result = engines("build")
    assert isinstance(result.exception, EngineError)
    assert "--device tensorrt is not possible, no NVIDIA GPU" in str(result.exception)
    assert not cache.exists()


def test_a_model_is_timed_on_what_works(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(EMPTY, monkeypatch)
    result = engines("bench", str(model), "--seconds", "0.1", "--streams", "2")
    timed, refused = result.stdout.splitlines()
    assert timed.split()[:2] == ["means", "cpu"]
    assert "a second" in timed
    assert refused.startswith("TensorRT not used: ")


def test_an_unknown_engine_is_named() -> None:
    result = engines("build", "mouse")
    assert isinstance(result.exception, SettingsError)
    assert f"no engine 'mouse': wanted {', '.join(SHIPPED)}, or an .onnx file" in str(result.exception)


def test_an_engine_is_built_once_in_fp16(model: Path, builder: Builder, cache: Path) -> None:
    for _ in range(2):
        result = engines("build", str(model))
        assert result.exit_code == 0, result.exception
        assert f"MB in {cache}/means-fp16-" in result.stdout
    assert builder.built == 1


def test_fp32_is_built_where_fp16_is_too_far_from_the_cpu(
    model: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    rough = Builder(off=5.0)
    monkeypatch.setattr(
        compiling, "opener_of", lambda _: lambda o: (rough if o["trt_fp16_enable"] == "True" else builder)(o)
    )
    assert "means-fp32-" in engines("build", str(model)).stdout
    assert (rough.built, builder.built) == (1, 1)
    refused = engines("build", str(model), "--precision", "fp16")
    assert "means: differs from the CPU: result 5" in refused.stdout
    assert isinstance(refused.exception, EngineError)


def test_what_is_kept_is_shown_and_what_is_foreign_goes(
    model: Path, builder: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xpcam.commands import engines as command

    monkeypatch.setattr(command, "_paths", lambda models: [model])
    engines("build")
    foreign = build(replace(key_of(model, "fp16"), driver="470.1"), Builder(), *reference(model))
    on(MACHINE, monkeypatch)
    monkeypatch.setattr(providers, "_refusal", lambda device: "no memory: free some")
    choose_providers.cache_clear()
    shown = engines("list").stdout
    assert f"{foreign.folder}: of another GPU, driver or version" in shown
    assert shown.count(": ready, ") == 1
    assert engines("clean").stdout.startswith("1 removed from")
    assert [kept.key for kept in trt_cache.everything()] == [key_of(model, "fp16")]
    assert engines("clean", "--all").stdout.startswith("1 removed from")
    assert trt_cache.everything() == []


def test_the_remedy_is_shown_whole_while_a_run_is_watched() -> None:
    """Rich takes [cuda] for markup."""
    remedy = "not installed: libcudnn.so.9: pip install 'xpcam[cuda]'"
    shown = Console(record=True, width=200, file=io.StringIO())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(watching, "EVERY", 0.0)
        patch.setattr(watching, "rows", lambda status: watching._refused(status["refused"]))
        refused = {"face_params": {"cuda": remedy}, "face_detector": {"cuda": remedy}}
        watching.watch(lambda: {"name": "studio", "refused": refused}, shown, times=1)
    text = shown.export_text()
    assert text.count(f"not cuda  {remedy}") == 1
