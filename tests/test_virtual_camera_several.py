"""--output auto: v4l2loopback and PipeWire at once, or the one that is there."""

import sys

import numpy as np
import pytest

import xpcam.virtual_camera as outputs
from xpcam.errors import OutputError
from xpcam.virtual_camera import NoCamera, open_output
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.lasting import RETRY, LastingCamera
from xpcam.virtual_camera.several import SeveralCameras

SIZE = (64, 48)


class Fake(NoCamera):
    """A camera that is read or not, and may break."""

    def __init__(self, name: str, readers: int | None = 0) -> None:
        super().__init__(size=SIZE, fps=30)
        self.description, self.watched_by = name, readers
        self.frames: list[Buffer] = []
        self.broken = self.closed = False

    def readers(self) -> int | None:
        return self.watched_by

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        if self.broken:
            raise OutputError(f"{self.description} takes no more frames")
        self.frames.append(buffer)

    def close(self) -> None:
        self.closed = True


Machine = dict[str, Fake | OutputError]


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """What opens on this Linux: "v4l2" and "pipewire"."""
    there: Machine = {"v4l2": Fake("loopback"), "pipewire": Fake("PipeWire")}

    def opened(kind: str) -> Fake:
        found = there[kind]
        if isinstance(found, OutputError):
            raise found
        return found

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(outputs, "_open_v4l2", lambda path, size, fps: opened("v4l2"))
    monkeypatch.setattr(outputs, "_open_pipewire", lambda size, fps: opened("pipewire"))
    return there


def test_auto_is_all_that_there_is(linux: Machine) -> None:
    both = open_output("auto", size=SIZE, fps=30)
    assert both.description == "loopback; PipeWire"
    both.write(both.convert(np.zeros((48, 64, 3), np.uint8)))
    assert [len(camera.frames) for camera in linux.values() if isinstance(camera, Fake)] == [1, 1]
    both.close()
    both.close()
    assert all(camera.closed for camera in linux.values() if isinstance(camera, Fake))


@pytest.mark.parametrize("spec", ["v4l2", "pipewire"])
def test_a_flag_chooses_one(spec: str, linux: Machine) -> None:
    assert open_output(spec, size=SIZE, fps=30) is linux[spec]


@pytest.mark.parametrize(("missing", "left"), [("v4l2", "pipewire"), ("pipewire", "v4l2")])
def test_auto_makes_do_with_one(
    missing: str, left: str, linux: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    linux[missing] = OutputError("not here: do this")
    found = linux[left]
    assert isinstance(found, Fake)
    assert open_output("auto", size=SIZE, fps=30) is found
    assert f"only {found.description}: not here: do this" in caplog.text


def test_auto_with_nothing_says_what_each_lacks(linux: Machine) -> None:
    linux.update(v4l2=OutputError("no loopback: load it"), pipewire=OutputError("no daemon: start it"))
    with pytest.raises(OutputError, match="^no loopback: load it; no daemon: start it$"):
        open_output("auto", size=SIZE, fps=30)


def test_one_of_several_breaks_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    clock = 0.0
    loopback, pipewire = Fake("loopback"), Fake("PipeWire")
    both = SeveralCameras([LastingCamera(lambda: loopback, now=lambda: clock), pipewire])
    pixels = np.zeros((48, 64, 3), np.uint8)
    loopback.broken = True
    for _ in range(2):
        both.write(both.convert(pixels))
    assert loopback.closed
    assert caplog.text.count("loopback takes no more frames") == 1
    loopback.broken = False
    clock = RETRY
    both.write(both.convert(pixels))
    assert (len(loopback.frames), len(pipewire.frames)) == (1, 3)
    both.close()
    assert pipewire.closed


@pytest.mark.parametrize(
    ("first", "second", "wanted"), [(0, 0, 0), (None, 0, None), (None, 1, 1), (1, 1, 2), (None, None, None)]
)
def test_readers_of_several(first: int | None, second: int | None, wanted: int | None) -> None:
    assert SeveralCameras([Fake("a", first), Fake("b", second)]).readers() == wanted
