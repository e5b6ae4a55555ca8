"""TensorRT engines are built once, checked, and kept whole or not at all; the builder is a fake."""

import errno
import os
import shutil
import weakref
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from gpus import EMPTY, MACHINE, machine
from models import write_model

from xpcam.errors import EngineError
from xpcam.inference import preflight, trt_build, trt_cache
from xpcam.inference.compiling import reference
from xpcam.inference.trt_build import Run, build, key_of, ready
from xpcam.inference.trt_cache import Key

Numbers = dict[str, np.ndarray[Any, Any]]


class Builder:
    """Does to the disk what ONNX Runtime's TensorRT provider does: builds what it does not find."""

    def __init__(self, *, off: float = 0.0, content: bytes = b"engine" * 1000) -> None:
        self.off, self.content = off, content
        self.built = 0

    def __call__(self, options: Mapping[str, str]) -> Run:
        file = Path(options["trt_engine_cache_path"]) / "engine_1_sm89.engine"
        if not file.exists() or file.read_bytes() != self.content:
            self.built += 1
            self.write(file)
        Path(options["trt_timing_cache_path"], "x.timing").write_bytes(b"times")
        return lambda feed: {"result": feed["image"].mean((1, 2)) + np.float32(1 + self.off)}

    def write(self, file: Path) -> None:
        file.write_bytes(self.content)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(trt_build, "machine", lambda: MACHINE)
    return tmp_path / "cache" / "xpcam" / "engines"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


def make(model: Path, builder: Builder, precision: str = "fp16") -> trt_cache.Kept:
    return build(key_of(model, precision), builder, *reference(model))


def visible(cache: Path) -> list[str]:
    """What a build leaves for others to find."""
    hidden = (trt_cache.LOCK, trt_cache.TIMINGS)
    return [path.name for path in cache.iterdir() if not path.name.startswith(hidden)]


def test_an_engine_is_built_once(model: Path, cache: Path) -> None:
    builder = Builder()
    assert ready(model) == (None, "")
    kept = make(model, builder)
    assert make(model, builder) == kept
    assert builder.built == 1
    assert ready(model) == (kept, "")
    assert kept.folder.parent == cache
    assert visible(cache) == [kept.folder.name]
    assert kept.folder.stat().st_mode & 0o077 == 0


def test_one_engine_is_in_the_memory_of_the_gpu_at_a_time(model: Path) -> None:
    builder, opened = Builder(), list[weakref.ref[Run]]()

    def start(options: Mapping[str, str]) -> Run:
        assert not [run for run in opened if run() is not None]
        run = builder(options)
        opened.append(weakref.ref(run))
        return run

    build(key_of(model, "fp16"), start, *reference(model))
    assert len(opened) == 2


def test_the_key_holds_everything_an_engine_depends_on(model: Path, tmp_path: Path) -> None:
    key = key_of(model, "fp16")
    assert key.onnxruntime == ort.__version__
    assert (key.gpu, key.compute, key.driver, key.tensorrt) == (
        "NVIDIA Test 4000",
        "8.9",
        "580.65.06",
        "10.15.1",
    )
    others = {replace(key, **{field.name: "other"}).folder for field in fields(key)}
    assert len(others | {key.folder}) == len(fields(key)) + 1
    copy = shutil.copy(model, tmp_path / "copy.onnx")
    assert key_of(Path(copy), "fp16").sha256 == key.sha256
    write_model(model, [1, 4, 4, 3])
    assert key_of(model, "fp16").folder != key.folder


@pytest.mark.parametrize(
    "other",
    [
        machine(name="NVIDIA Test 5000"),
        machine(compute=(12, 0)),
        machine(driver="590.1"),
        machine(tensorrt="10.16.1"),
    ],
)
def test_an_engine_of_another_machine_is_not_used(
    other: preflight.Machine, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(model, Builder())
    monkeypatch.setattr(trt_build, "machine", lambda: other)
    assert ready(model) == (None, "")


def test_without_a_gpu_there_is_no_key(model: Path) -> None:
    with pytest.raises(EngineError, match="no NVIDIA GPU with a driver found"):
        key_of(model, "fp16", EMPTY)


def foreign(kept: trt_cache.Kept, model: Path) -> None:
    """An engine of another model, under this one's name."""
    other = make(write_model(model.with_name("other.onnx"), [1, 4, 4, 3]), Builder())
    shutil.rmtree(kept.folder)
    other.folder.rename(kept.folder)


def truncated(kept: trt_cache.Kept, model: Path) -> None:
    (kept.folder / "engine_1_sm89.engine").write_bytes(b"engine")


def garbled(kept: trt_cache.Kept, model: Path) -> None:
    (kept.folder / trt_cache.MANIFEST).write_text('{"key": {"model": 3}', encoding="utf-8")


def lost(kept: trt_cache.Kept, model: Path) -> None:
    (kept.folder / trt_cache.MANIFEST).unlink()


def added(kept: trt_cache.Kept, model: Path) -> None:
    (kept.folder / "engine_2.engine").write_bytes(b"from elsewhere")


@pytest.mark.parametrize("harm", [foreign, truncated, garbled, lost, added])
def test_a_foreign_or_damaged_engine_is_built_anew(harm: Any, model: Path, cache: Path) -> None:
    builder = Builder()
    kept = make(model, builder)
    harm(kept, model)
    assert ready(model) == (None, "")
    assert make(model, builder).damage == ""
    assert builder.built == 2
    assert ready(model)[0] is not None


def test_an_inaccurate_engine_is_refused_once_and_the_next_precision_is_used(model: Path) -> None:
    builder = Builder(off=5.0)
    kept = make(model, builder)
    assert kept.refused.startswith("differs from the CPU: result 5 (<= ")
    assert [path.name for path in kept.folder.iterdir()] == [trt_cache.MANIFEST]
    assert make(model, builder) == kept
    assert builder.built == 1
    assert ready(model) == (None, "")
    assert make(model, Builder(off=0.1), "fp32") == ready(model)[0]


def test_where_both_are_inaccurate_the_reason_is_given(model: Path) -> None:
    for precision in ("fp16", "fp32"):
        make(model, Builder(off=float("nan")), precision)
    assert ready(model)[0] is None
    assert "fp32: differs from the CPU: result nan" in ready(model)[1]


class Full(Builder):
    """The disk is full, as the library (silently) or as Python meets it."""

    def __init__(self, silent: bool) -> None:
        super().__init__()
        self.silent = silent

    def write(self, file: Path) -> None:
        if not self.silent:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        file.write_bytes(self.content[: 100 + self.built])


@pytest.mark.parametrize("silent", [True, False])
def test_a_full_disk_leaves_nothing(silent: bool, model: Path, cache: Path) -> None:
    with pytest.raises(
        EngineError, match=r"cannot be kept .*No space left|could not be read back .* disk full"
    ):
        make(model, Full(silent))
    assert visible(cache) == []


def test_little_room_is_refused_before(model: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(EngineError, match="5 MB are free for engines in .* wanted 256: make room"):
        make(model, Builder())
    assert visible(cache) == []


def test_a_cache_that_cannot_be_written_is_named(model: Path, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file", encoding="utf-8")
    with pytest.raises(EngineError, match="cannot be kept in .*: make room, or set XDG_CACHE_HOME"):
        make(model, Builder())


def test_a_model_tensorrt_takes_nothing_of_is_refused(model: Path, cache: Path) -> None:
    with pytest.raises(EngineError, match="TensorRT took no part of means"):
        make(model, type("Idle", (Builder,), {"write": lambda *_: None})())
    assert visible(cache) == []


def test_an_interrupted_build_leaves_nothing(model: Path, cache: Path) -> None:
    class Interrupted(Builder):
        def write(self, file: Path) -> None:
            super().write(file)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(model, Interrupted())
    assert visible(cache) == []


def test_timings_are_kept_by_gpu_and_tensorrt(model: Path) -> None:
    make(model, Builder())
    key = key_of(model, "fp32")
    assert (trt_cache.timing_file_folder(key) / "x.timing").is_file()
    assert trt_cache.timing_file_folder(replace(key, gpu="other")) != trt_cache.timing_file_folder(key)


def test_cleaning_leaves_what_is_wanted(model: Path, cache: Path) -> None:
    mine = make(model, Builder())
    other = build(replace(key_of(model, "fp16"), gpu="other"), Builder(), *reference(model))
    broken = make(model, Builder(), "fp32")
    truncated(broken, model)
    (cache / f"{trt_cache.PART}means").mkdir()
    gone = trt_cache.clean({mine.folder, broken.folder})
    assert {kept.folder for kept in gone} == {other.folder, broken.folder}
    assert visible(cache) == [mine.folder.name]
    assert len(trt_cache.clean(())) == 1
    assert sorted(path.name for path in cache.iterdir()) == [trt_cache.LOCK]


def test_a_key_survives_its_manifest(model: Path) -> None:
    kept = make(model, Builder())
    assert isinstance(kept.key, Key)
    assert trt_cache.read(kept.folder).key == key_of(model, "fp16")
