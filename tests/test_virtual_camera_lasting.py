"""An output that is lost while it runs, and comes back."""

import errno
import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.virtual_camera import NoCamera, file, lasting, open_output
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.lasting import RETRY, LastingCamera

SIZE = (64, 48)


class Device:
    """What cameras are opened on: it may be there or not."""

    def __init__(self) -> None:
        self.there = True
        self.cameras: list[Camera] = []
        self.attempts = 0
        self.time = 0.0

    def open(self) -> "Camera":
        self.attempts += 1
        if not self.there:
            raise OutputError("no device: make one")
        self.cameras.append(Camera(self))
        return self.cameras[-1]

    def camera(self) -> LastingCamera:
        return LastingCamera(self.open, now=lambda: self.time)


class Camera(NoCamera):
    def __init__(self, device: Device) -> None:
        super().__init__(size=SIZE, fps=30)
        self.description = f"camera {len(device.cameras)}"
        self.device = device
        self.frames: list[Buffer] = []
        self.closed = False

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        if not self.device.there:
            raise OutputError("the device takes no more frames")
        self.frames.append(buffer)

    def close(self) -> None:
        self.closed = True


def show(camera: LastingCamera, times: int = 1) -> None:
    for _ in range(times):
        camera.write(camera.convert(np.zeros((48, 64, 3), np.uint8)))


def test_it_comes_back_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    device = Device()
    camera = device.camera()
    show(camera, 3)
    assert camera.readers() == 1
    device.there = False
    for _ in range(5):
        show(camera, 10)
        device.time += RETRY
    assert camera.readers() == 0
    assert device.cameras[0].closed
    assert device.attempts <= 6
    device.there = True
    device.time += RETRY
    show(camera, 2)
    assert len(device.cameras[1].frames) == 2
    assert camera.readers() == 1
    assert camera.description == "camera 1"
    assert [record.getMessage() for record in caplog.records] == [
        "the device takes no more frames; it is tried again until it works",
        "the output is back: camera 1",
    ]
    camera.close()
    camera.close()
    assert device.cameras[1].closed


def test_the_first_time_it_has_to_be_there() -> None:
    device = Device()
    device.there = False
    with pytest.raises(OutputError, match="make one"):
        device.camera()


def test_closed_is_closed() -> None:
    device = Device()
    camera = device.camera()
    camera.close()
    device.time += 10 * RETRY
    assert camera.readers() == 0
    with pytest.raises(OutputError, match="is closed"):
        show(camera)
    assert device.attempts == 1


class Disk:
    """The place of a recording, which may be full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.full = False
        encode = file.VideoFile._encode

        def guarded(video: file.VideoFile, frame: av.VideoFrame, stamp: int) -> None:
            if self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            encode(video, frame, stamp)

        monkeypatch.setattr(file.VideoFile, "_encode", guarded)
        monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=self.free()))
        monkeypatch.setattr(lasting, "RETRY", 0.0)

    def free(self) -> int:
        return 1_000_000 if self.full else 10**10


def record(output: LastingCamera, begin: float, times: int) -> None:
    for number in range(times):
        output.write(output.convert(np.zeros((48, 64, 3), np.uint8)), begin + number / 10)


def test_a_recording_begins_anew_when_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk, clip = Disk(monkeypatch), tmp_path / "clip.mkv"
    output = open_output(str(clip), size=SIZE, fps=10, lasting=True)
    assert isinstance(output, LastingCamera)
    assert not output.watched
    record(output, 0.0, 20)
    disk.full = True
    record(output, 2.0, 20)
    assert "found 1 MB free, wanted 64" in output.fault
    assert output.readers() == 0
    left = list(tmp_path.iterdir())
    assert left == [tmp_path / "clip.mkv.part"]  # no attempt leaves another one
    disk.full = False
    record(output, 100.0, 20)
    assert output.fault == ""
    output.close()
    for path, least, most in ((left[0], 10, 20), (clip, 20, 20)):
        with av.open(str(path)) as container:
            times = [frame.time for frame in container.decode(video=0)]
        assert least <= len(times) <= most
        assert times[-1] < 2.5  # none begins with a gap


def test_a_recording_that_could_not_end_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(monkeypatch)
    output = open_output(str(tmp_path / "clip.mp4"), size=SIZE, fps=10, lasting=True)
    disk.full = True
    assert isinstance(output, LastingCamera)
    record(output, 0.0, 20)
    with pytest.raises(OutputError, match="takes no more frames"):
        output.close()
    output.close()
