"""Which output a name opens, and the conversion they share."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import xpcam.virtual_camera as outputs
from xpcam.devices import Device
from xpcam.errors import OutputError
from xpcam.virtual_camera import NoCamera, open_output
from xpcam.virtual_camera.file import VideoFile
from xpcam.virtual_camera.i420 import I420Converter

SIZE = (64, 48)


def bt601(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Y, Cb, Cr of (height, width, 3) BGR after ITU-R BT.601, 8 bits, luma 16 to 235."""
    blue, green, red = np.moveaxis(pixels / 255.0, 2, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return np.stack(
        [16 + 219 * luma, 128 + 224 * (blue - luma) / 1.772, 128 + 224 * (red - luma) / 1.402], axis=2
    )


def test_conversion_against_the_standard() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (12, 16, 3), np.uint8)
    pixels = np.ascontiguousarray(noise.repeat(4, 0).repeat(4, 1))  # 4x4 blocks: chroma has no edges to cut
    i420 = I420Converter(SIZE).convert(pixels).astype(float)
    wanted = bt601(pixels)
    assert np.abs(i420[:48] - wanted[..., 0]).max() <= 2
    chroma = i420[48:].reshape(2, 24, 32)
    assert np.abs(chroma[0] - wanted[::2, ::2, 1]).max() <= 2
    assert np.abs(chroma[1] - wanted[::2, ::2, 2]).max() <= 2


def test_black_and_white_use_the_limited_range() -> None:
    convert = I420Converter(SIZE).convert
    assert set(np.unique(convert(np.zeros((48, 64, 3), np.uint8)))) == {16, 128}
    assert set(np.unique(convert(np.full((48, 64, 3), 255, np.uint8)))) == {235, 128}


def test_the_buffer_is_used_again() -> None:
    converter = I420Converter(SIZE)
    black, white = np.zeros((48, 64, 3), np.uint8), np.full((48, 64, 3), 255, np.uint8)
    assert converter.convert(black) is converter.convert(white)


def test_a_picture_of_another_size_is_a_bug() -> None:
    with pytest.raises(ValueError, match="shape"):
        I420Converter(SIZE).convert(np.zeros((64, 48, 3), np.uint8))


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (63, 48), (64, 47)])
def test_sizes_that_yuv_cannot_hold(size: tuple[int, int]) -> None:
    with pytest.raises(OutputError, match="must be even"):
        open_output("none", size=size, fps=30)


def test_none() -> None:
    output = open_output("none", size=SIZE, fps=30)
    assert isinstance(output, NoCamera)
    buffer = output.convert(np.full((48, 64, 3), 255, np.uint8))
    assert buffer.shape == (72, 64)
    output.write(buffer)
    output.write(buffer, 0.5)
    output.close()
    output.close()


@pytest.mark.parametrize("name", ["clip.mp4", "clip.MKV", "clip.mov"])
def test_files(name: str, tmp_path: Path) -> None:
    output = open_output(str(tmp_path / name), size=SIZE, fps=30)
    assert isinstance(output, VideoFile)
    assert name in output.description
    output.close()


@pytest.mark.parametrize(
    "spec", ["", "camera", "clip.avi", "clip", "video10", "v4l", "none:1.txt", "pipewire:0"]
)
def test_names_that_mean_nothing(spec: str) -> None:
    with pytest.raises(OutputError, match="is no output: use auto, none, v4l2"):
        open_output(spec, size=SIZE, fps=30)


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
@pytest.mark.parametrize("spec", ["/dev/video999", "v4l2:/dev/video999", "v4l2:/dev/null", "v4l2:nowhere"])
def test_devices_that_are_none(spec: str) -> None:
    with pytest.raises(OutputError, match="is no video device"):
        open_output(spec, size=SIZE, fps=30)


@pytest.mark.skipif(sys.platform != "linux", reason="Video4Linux")
def test_a_machine_without_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    from xpcam.virtual_camera.v4l2_ioctl import Linux

    monkeypatch.setattr(Linux, "devices", lambda self: [])
    with pytest.raises(OutputError, match="modprobe v4l2loopback exclusive_caps=1"):
        open_output("v4l2", size=SIZE, fps=30)


@pytest.mark.parametrize("spec", ["v4l2", "pipewire"])
def test_outputs_of_linux_elsewhere(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OutputError, match=f"{spec} was asked for on darwin, Linux is wanted"):
        open_output(spec, size=SIZE, fps=30)


class FakeLibrary(SimpleNamespace):
    """As much of pyvirtualcam as is used."""

    def __init__(self) -> None:
        super().__init__(
            PixelFormat=SimpleNamespace(I420="I420"),
            camera=SimpleNamespace(BACKENDS={"obs": object, "unitycapture": object}),
            opened=[],
            frames=[],
            closed=0,
            error=None,
        )

    def Camera(self, **arguments: Any) -> Any:  # noqa: N802
        if self.error:
            raise self.error
        self.opened.append(arguments)
        return SimpleNamespace(device="OBS Virtual Camera", backend="obs", send=self.send, close=self.close)

    def send(self, frame: NDArray[np.uint8]) -> None:
        if self.error:
            raise self.error
        self.frames.append(frame.copy())

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeLibrary]:
    fake = FakeLibrary()
    monkeypatch.setitem(sys.modules, "pyvirtualcam", fake)
    monkeypatch.setattr(outputs, "list_devices", list)
    return fake


@pytest.mark.parametrize(
    ("spec", "backend"), [("pyvirtualcam", None), ("pyvirtualcam:unitycapture", "unitycapture")]
)
def test_pyvirtualcam(library: FakeLibrary, spec: str, backend: str | None) -> None:
    output = open_output(spec, size=SIZE, fps=30)
    assert output.description == "OBS Virtual Camera (obs), 64x48 I420 at 30 fps"
    wanted = {"width": 64, "height": 48, "fps": 30, "fmt": "I420", "device": None, "backend": backend}
    assert library.opened == [wanted]
    white = np.full((48, 64, 3), 255, np.uint8)
    output.write(output.convert(white))
    np.testing.assert_array_equal(library.frames[0], cv2.cvtColor(white, cv2.COLOR_BGR2YUV_I420))
    output.close()
    output.close()
    assert library.closed == 1


def test_pyvirtualcam_is_auto_on_windows(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert "OBS" in open_output("auto", size=SIZE, fps=30).description


def test_pyvirtualcam_takes_our_device(library: FakeLibrary, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = [
        Device(Path(path), label, "v4l2 loopback", "", False, True, (), loopback=loopback)
        for path, label, loopback in (
            ("/dev/video0", "Webcam", False),
            ("/dev/video1", "OBS", True),
            ("/dev/video2", "Xpression Cam", True),
        )
    ]
    monkeypatch.setattr(outputs, "list_devices", lambda: devices)
    open_output("pyvirtualcam", size=SIZE, fps=30)
    assert library.opened[0]["device"] == "/dev/video2"


def test_pyvirtualcam_has_no_such_backend(library: FakeLibrary) -> None:
    with pytest.raises(OutputError, match=r"no 'akvcam' on this system, only obs, unitycapture"):
        open_output("pyvirtualcam:akvcam", size=SIZE, fps=30)


def test_pyvirtualcam_finds_no_camera(library: FakeLibrary) -> None:
    library.error = RuntimeError("'obs' backend: OBS Virtual Camera is not\ninstalled")
    with pytest.raises(OutputError, match=r"is not installed\)") as caught:
        open_output("pyvirtualcam", size=SIZE, fps=30)
    assert "\n" not in str(caught.value)


def test_pyvirtualcam_loses_its_camera(library: FakeLibrary, caplog: pytest.LogCaptureFixture) -> None:
    output = open_output("pyvirtualcam", size=SIZE, fps=30)
    library.error = RuntimeError("gone")
    for _ in range(3):
        output.write(output.convert(np.zeros((48, 64, 3), np.uint8)))
    assert caplog.text.count("takes no more frames (gone); it is tried again until it works") == 1
    assert library.closed


def test_pyvirtualcam_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(OutputError, match=r"pip install 'xpcam\[pyvirtualcam\]'"):
        open_output("pyvirtualcam", size=SIZE, fps=30)
