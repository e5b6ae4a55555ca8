"""What is found of a GPU before ONNX Runtime is asked, and what is refused with which remedy."""

import sys
from pathlib import Path

import pytest
from gpus import EMPTY, MACHINE, Driver, machine

from xpcam.inference import preflight
from xpcam.inference.preflight import Machine, look
from xpcam.inference.providers import refusal

LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="libraries are looked for on Linux")


def nothing() -> None:
    """Prepares nothing."""


@LINUX
def test_a_good_machine_is_described_and_not_refused() -> None:
    driver, prepared = Driver(), list[str]()
    assert look(driver.load, lambda: prepared.append("once")) == MACHINE
    assert prepared == ["once"]
    assert driver.contexts == 0
    assert [refusal(device, MACHINE) for device in ("cuda", "tensorrt")] == ["", ""]


def test_without_a_driver_no_library_is_looked_for() -> None:
    driver, asked = Driver(), list[str]()
    driver.absent = {preflight.DRIVER}

    def load(name: str) -> Driver:
        asked.append(name)
        return driver.load(name)

    assert look(load, lambda: asked.append("prepared")) == EMPTY
    assert asked == [preflight.DRIVER]


@pytest.mark.parametrize(
    ("driver", "failure"),
    [
        (Driver(init=100), "it sees no GPU"),
        (Driver(gpus=0), "it sees no GPU"),
        (Driver(init=803), "restart the machine"),
        (Driver(init=999), "CUDA error 999"),
        (Driver(context=46), "the GPU is taken"),
    ],
)
def test_a_driver_that_gives_no_gpu_is_asked_why(driver: Driver, failure: str) -> None:
    found = look(driver.load, lambda: pytest.fail("libraries were looked for"))
    assert found.gpu is None
    assert failure in found.failure
    assert f"the driver 580.65.06 gives no GPU ({found.failure})" in refusal("cuda", found)


def test_a_full_gpu_has_nothing_free() -> None:
    found = look(Driver(context=2).load, nothing)
    assert found.gpu is not None
    assert found.gpu.free == 0


def test_without_nvml_the_driver_is_named_by_its_cuda() -> None:
    driver = Driver()
    driver.absent = {preflight.MANAGEMENT}
    assert look(driver.load, nothing).driver == "for CUDA 13.0"


@LINUX
def test_what_is_not_installed_is_named() -> None:
    driver = Driver()
    driver.absent = {"libcudnn", "libnvinfer.so"}
    found = look(driver.load, nothing)
    assert found.missing == {"libcudnn.so.9", "libnvinfer.so.10"}
    assert (found.cudnn, found.tensorrt) == ("", "")
    assert refusal("cuda", found) == "not installed: libcudnn.so.9: pip install 'xpcam[cuda]'"
    both = "not installed: libcudnn.so.9, libnvinfer.so.10: pip install 'xpcam[tensorrt]'"
    assert refusal("tensorrt", found) == both


@pytest.mark.parametrize(
    ("device", "found", "said"),
    [
        ("cuda", EMPTY, "no NVIDIA GPU with a driver found: install NVIDIA's driver 580 or newer"),
        (
            "cuda",
            machine(driver="535.1", cuda=(12, 2)),
            "the driver 535.1 runs CUDA 12.2, wanted 13.0: install NVIDIA's driver 580 or newer",
        ),
        (
            "cuda",
            machine(name="GTX 1080", compute=(6, 1)),
            "the GTX 1080 has compute capability 6.1, CUDA 13 wants 7.5 or newer: use --device cpu",
        ),
        ("cuda", machine(cudnn="8.9.7"), "libcudnn.so.9 is version 8.9.7, wanted 9: pip install"),
        ("tensorrt", machine(tensorrt="10.9.0"), "TensorRT is version 10.9.0, wanted 10.13 or newer: pip"),
        ("cuda", machine(free=300 << 20), "300 MB of 8192 MB are free on the NVIDIA Test 4000, wanted 512"),
        ("tensorrt", machine(free=900 << 20), "900 MB of 8192 MB are free"),
    ],
)
def test_each_refusal_is_one_line_with_its_remedy(
    device: str, found: Machine, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpcam.inference.providers.cuda_major", lambda: 13)
    why = refusal(device, found)
    assert why.startswith(said)
    assert ": " in why
    assert "\n" not in why


def test_what_only_tensorrt_lacks_leaves_cuda() -> None:
    for found in (machine(tensorrt="10.9.0"), machine(free=900 << 20)):
        assert refusal("cuda", found) == ""


def test_looking_prints_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The vendor's package loads its libraries when it is imported; ONNX Runtime prints what it misses."""
    (tmp_path / "tensorrt_libs.py").write_text("print('loading')\nLOADED = True\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    preflight.preload()
    assert sys.modules.pop("tensorrt_libs").LOADED
    (tmp_path / "tensorrt_libs.py").write_text("raise OSError('no libcudart')\n", encoding="utf-8")
    preflight.preload()
    assert capfd.readouterr() == ("", "")


def test_this_machine_can_be_looked_at(capfd: pytest.CaptureFixture[str]) -> None:
    found = preflight.machine()
    assert found.gpu is None or found.driver
    assert capfd.readouterr() == ("", "")
