"""An output that is lost while it runs, and comes back."""

import logging

import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.virtual_camera import NoCamera
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
