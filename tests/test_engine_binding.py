"""What a session on a GPU is run with: buffers made once, one set for each run at a time, CUDA graphs."""

import ctypes
import gc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, BrokenBarrierError
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from gpus import InMemory
from models import write_model

from xpcam.inference import binding, sessions
from xpcam.inference.binding import LOCKED_FROM, Bound, page_locked
from xpcam.inference.providers import count_gpus
from xpcam.inference.tensor import Array, Tensor
from xpcam.resources import shipped


class Session:
    """ONNX Runtime's, on the CPU; notes how it is run."""

    def __init__(self, model: Path, before: Callable[[], object] = lambda: None) -> None:
        self.real = ort.InferenceSession(model, providers=["CPUExecutionProvider"])
        self.before, self.graphs = before, list[str]()

    def io_binding(self) -> ort.IOBinding:
        return self.real.io_binding()

    def run_with_iobinding(self, bound: ort.IOBinding, options: ort.RunOptions | None) -> None:
        self.before()
        self.graphs.append(options.get_run_config_entry(binding.GRAPH) if options else "")
        self.real.run_with_iobinding(bound, options)


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What was asked of the GPU's memory."""
    asked = list[Tensor]()

    def on_gpu(want: Tensor) -> InMemory:
        asked.append(want)
        return InMemory(want)

    monkeypatch.setattr(binding, "on_gpu", on_gpu)
    return asked


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "means.onnx", [1, 8, 8, 3])


def bound(model: Path, graphs: bool = False, before: Callable[[], object] = lambda: None) -> Bound:
    session = Session(model, before)
    return Bound(session, *sessions.tensors(session.real, model), graphs)


def picture(value: int) -> dict[str, Array]:
    return {"image": np.full((1, 8, 8, 3), value, np.uint8)}


def test_every_output_is_what_an_unbound_run_gives() -> None:
    model = shipped("face_params.onnx")
    on_gpu = bound(model)
    for seed in range(2):
        image = np.random.default_rng(seed).integers(0, 256, (1, 256, 256, 3), np.uint8)
        wanted = on_gpu.session.real.run(None, {"image": image})
        found = on_gpu.run({"image": image})
        assert len(found) == len(wanted) > 2
        for a, b in zip(wanted, found, strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_frame_takes_no_memory_of_the_gpu(model: Path, made: list[Tensor]) -> None:
    on_gpu = bound(model)
    assert sorted(map(str, made)) == ["float32 (1, 3)", "uint8 (1, 8, 8, 3)"]
    results = [on_gpu.run(picture(value))[0] for value in range(20)]
    assert len(made) == 2
    assert [result[0, 0] for result in results] == [1 + value for value in range(20)]


def test_a_picture_that_is_not_contiguous_is_taken(model: Path) -> None:
    wide = np.zeros((1, 8, 16, 3), np.uint8)
    wide[:, :, ::2] = 6
    assert bound(model).run({"image": wide[:, :, ::2]})[0][0, 0] == 7


@pytest.mark.parametrize(
    "feeds",
    [
        {},
        {"picture": np.zeros((1, 8, 8, 3), np.uint8)},
        {"image": np.zeros((1, 8, 8, 3), np.float32)},
        {"image": np.zeros((1, 8, 3, 8), np.uint8)},
        {"image": np.zeros(3, np.uint8)},
    ],
)
def test_another_input_is_refused(feeds: dict[str, Array], model: Path) -> None:
    on_gpu = bound(model)
    with pytest.raises(ValueError, match=r"found .*, wanted image uint8 \(1, 8, 8, 3\)"):
        on_gpu.run(feeds)
    assert on_gpu.run(picture(3))[0][0, 0] == 4


def at_once(on_gpu: Bound, streams: int, runs: int) -> list[list[float]]:
    def follow(value: int) -> list[float]:
        return [float(on_gpu.run(picture(value))[0][0, 0]) for _ in range(runs)]

    with ThreadPoolExecutor(streams) as pool:
        return list(pool.map(follow, range(streams)))


def test_streams_share_a_session_and_no_buffers(model: Path, made: list[Tensor]) -> None:
    meet = Barrier(4)
    on_gpu = bound(model, before=lambda: meet.wait(10))  # all four are in a run at the same time
    assert at_once(on_gpu, 4, 5) == [[1.0 + value] * 5 for value in range(4)]
    assert len(made) == 4 * 2


def test_recorded_graphs_run_one_by_one_each_with_its_own_buffers(model: Path) -> None:
    meet = Barrier(2)

    def alone() -> None:
        with pytest.raises(BrokenBarrierError):
            meet.wait(0.2)
        meet.reset()

    on_gpu = bound(model, graphs=True, before=alone)
    assert at_once(on_gpu, 2, 2) == [[1.0] * 2, [2.0] * 2]
    names = set(on_gpu.session.graphs)
    assert "" not in names
    assert names == set(map(str, map(int, names)))
    assert not names & set(at_once_names(model))


def at_once_names(model: Path) -> list[str]:
    """Of graphs of another session."""
    other = bound(model, graphs=True)
    other.run(picture(0))
    names: list[str] = other.session.graphs
    return names


def test_without_graphs_there_is_no_option(model: Path) -> None:
    on_gpu = bound(model)
    on_gpu.run(picture(0))
    assert on_gpu.session.graphs == [""]


@pytest.mark.parametrize(
    ("devices", "graphs", "wanted"),
    [
        (("cuda", "cpu"), False, [{}, {}]),
        (("cuda", "cpu"), True, [{"enable_cuda_graph": "1"}, {}]),
        (("tensorrt", "cuda", "cpu"), False, [{"path": "here"}, {}, {}]),
        (("tensorrt", "cuda", "cpu"), True, [{"path": "here", "trt_cuda_graph_enable": "True"}, {}, {}]),
        (("cpu",), True, [{}]),
    ],
)
def test_graphs_are_an_option_of_the_first_device(
    devices: tuple[str, ...],
    graphs: bool,
    wanted: list[dict[str, str]],
    model: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = list[Any]()
    monkeypatch.setattr(
        ort, "InferenceSession", lambda *_, provider_options, **named: given.append(provider_options)
    )
    sessions.load(model, devices, 1, {"path": "here"}, graphs)
    assert given == [wanted]


def test_a_run_that_fails_raises_what_the_engine_expects(model: Path) -> None:
    on_gpu = bound(model)
    unbound = on_gpu.session.real.io_binding()
    with pytest.raises(sessions.RUN_ERRORS):
        on_gpu.session.run_with_iobinding(unbound, None)


@pytest.mark.skipif("CUDAExecutionProvider" not in ort.get_available_providers(), reason="no GPU build")
@pytest.mark.skipif(count_gpus() > 0, reason="needs a machine without a GPU")
def test_onnx_runtime_says_nothing_of_libraries_that_are_missing(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its page of red text; xpcam asks first, but libraries may go in between."""
    with pytest.raises(sessions.START_ERRORS):
        sessions.require(sessions.load(model, ("cuda", "cpu"), 1, {}), ("cuda", "cpu"))
    assert capfd.readouterr() == ("", "")


class Runtime:
    """libcudart, as far as pages are locked."""

    def __init__(self, code: int = 0) -> None:
        self.code, self.cleared = code, 0
        self.locked = dict[int, int]()
        self.unlocked = list[int]()

    def load(self, name: str) -> "Runtime":
        assert name.startswith("libcudart.so.")
        return self

    def __getattr__(self, name: str) -> Any:
        functions = {"Register": self.register, "Unregister": self.unregister, "GetLastError": self.clear}
        return functions[name.removeprefix("cuda").removeprefix("Host")]

    def register(self, place: ctypes.c_void_p, size: ctypes.c_size_t, flags: int) -> int:
        if not self.code:
            self.locked[place.value or 0] = size.value
        return self.code

    def unregister(self, place: ctypes.c_void_p) -> int:
        self.unlocked.append(place.value or 0)
        return 0

    def clear(self) -> int:
        self.cleared += 1
        return self.code


def test_pages_are_locked_as_long_as_the_array_lives() -> None:
    runtime = Runtime()
    made = page_locked((1, 256, 256, 3), "uint8", runtime.load)
    assert runtime.locked == {made.ctypes.data: 256 * 256 * 3}
    assert made.dtype == np.uint8
    assert not made.any()
    assert runtime.unlocked == []
    del made
    gc.collect()
    assert runtime.unlocked == list(runtime.locked)


def test_small_arrays_are_left_as_they_are() -> None:
    runtime = Runtime()
    page_locked((LOCKED_FROM - 1,), "uint8", runtime.load)
    assert not runtime.locked
    page_locked((LOCKED_FROM,), "uint8", runtime.load)
    assert len(runtime.locked) == 1


def test_where_pages_cannot_be_locked_they_are_not() -> None:
    def missing(name: str) -> Any:
        raise OSError(name)

    assert page_locked((LOCKED_FROM,), "float32", missing).shape == (LOCKED_FROM,)
    refusing = Runtime(code=801)
    made = page_locked((LOCKED_FROM,), "float32", refusing.load)
    assert refusing.cleared == 1  # ONNX Runtime would find the failure after its next kernel
    del made
    gc.collect()
    assert refusing.unlocked == []
