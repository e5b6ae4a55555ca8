"""A desk whose parts fail when told: camera, engines, outputs. Only its edges are fakes."""

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from faces import face
from poison import POISON, SIZE, Recorder

from xpcam.camera.opening import Machine
from xpcam.devices import Device, Holder
from xpcam.errors import EngineError, OutputError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.lasting import LastingCamera
from xpcam.virtual_camera.pipewire import PipeWireCamera, State
from xpcam.virtual_camera.pipewire_format import PictureFormat
from xpcam.virtual_camera.several import SeveralCameras

FPS = 20
CAMERA = Device(Path("/dev/video0"), "Cam", "uvcvideo", "usb-1", True, False, ("YUYV",), False)
TWIN = replace(CAMERA, path=Path("/dev/video5"), bus="usb-5")


class Bus:
    """Two cameras of one label, the first of which can be pulled out, held, silenced and darkened."""

    def __init__(self) -> None:
        self.present: Device | None = CAMERA
        self.holder: Holder | None = None
        self.silent = False
        self.light = 1.0
        self.opened: list[str] = []

    def machine(self) -> Machine:
        return Machine(self.devices, self.holders, self.open, "linux")

    def devices(self) -> list[Device]:
        return [*([self.present] if self.present else []), TWIN]

    def holders(self, _path: Path) -> list[Holder]:
        return [self.holder] if self.holder else []

    def open(self, path: str) -> "Backend":
        self.opened.append(path)
        return Backend(self, path)


class Backend:
    """What OpenCV's capture does on this bus: pictures of the poison."""

    def __init__(self, bus: Bus, path: str) -> None:
        self._bus, self._path = bus, path

    def isOpened(self) -> bool:  # noqa: N802
        return self._here() and self._bus.holder is None

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803
        return True

    def get(self, propId: int, /) -> float:  # noqa: N803
        return float(FPS) if propId == cv2.CAP_PROP_FPS else 0.0

    def grab(self) -> bool:
        time.sleep(1 / FPS)
        while self._bus.silent and self._here():
            time.sleep(0.01)
        return self.isOpened()

    def retrieve(self) -> tuple[bool, Any]:
        pixels = np.full((SIZE[1], SIZE[0], 3), POISON, np.uint8)
        return True, (pixels * self._bus.light).astype(np.uint8)

    def release(self) -> None:
        pass

    def _here(self) -> bool:
        return self._bus.present is not None and str(self._bus.present.path) == self._path


class Engines:
    """Trackers that break all at once, and load again or do not."""

    def __init__(self) -> None:
        self.works = True
        self.somebody = True
        self.loaded = 0

    @contextmanager
    def open(self, *_settings: object, **_patience: object) -> Iterator["Engines"]:
        if not self.works:
            raise EngineError("the engine does not load")
        self.loaded += 1
        yield self

    def track(self, frame: Frame) -> FaceParams | None:
        if not self.works:
            raise EngineError("the graphics driver was reset")
        seen = self.somebody and frame.pixels.mean() > 20
        return face({"jawOpen": 0.3 * (frame.sequence % 3)}) if seen else None

    def locate(self, _pixels: Pixels) -> list[FaceParams]:
        return [face()]

    def reset(self) -> None:
        pass


class Outputs:
    """A virtual camera, a recording and PipeWire, side by side; each keeps every picture it shows.

    Attributes:
        gone: which of "device", "disk" and "pipewire" fail.
        seen: the pictures of each.
        readers: how many programs look at the virtual camera.
    """

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.seen: dict[str, list[Pixels]] = {"device": [], "disk": [], "pipewire": []}
        self.readers = 1

    def open(self, *_arguments: object, **_named: object) -> SeveralCameras:
        return SeveralCameras(
            [
                LastingCamera(lambda: Shown(self, "device")),
                LastingCamera(lambda: Shown(self, "disk")),
                PipeWireCamera(size=SIZE, fps=FPS, connect=self.connect),
            ]
        )

    def connect(self, _format: PictureFormat, _fps: float) -> "PipeWireNode":
        if "pipewire" in self.gone:
            raise OSError(errno.EHOSTDOWN, os.strerror(errno.EHOSTDOWN))
        return PipeWireNode(self)


SAID = {
    "device": "/dev/video10 takes no more frames (No such device): load v4l2loopback again",
    "disk": "clip.mp4 takes no more frames (No space left on device): free some space",
}


class Shown(Recorder):
    """What an output without a device shows, and how it fails."""

    def __init__(self, outputs: Outputs, part: str) -> None:
        super().__init__()
        self._outputs, self._part = outputs, part
        self.description = part
        self._fail()
        self.seen = outputs.seen[part]

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        self._fail()

    def readers(self) -> int:
        return self._outputs.readers

    def _fail(self) -> None:
        if self._part in self._outputs.gone:
            raise OutputError(SAID[self._part])


class PipeWireNode:
    """A node that somebody reads while the test says that somebody looks."""

    def __init__(self, outputs: Outputs) -> None:
        self._outputs = outputs
        self._dead = False

    def state(self) -> tuple[State, str]:
        self._dead |= "pipewire" in self._outputs.gone
        if self._dead:
            return State.ERROR, "connection error"
        return (State.STREAMING if self._outputs.readers else State.PAUSED), ""

    def send(self, picture: Buffer) -> None:
        pixels = cv2.cvtColor(picture, cv2.COLOR_YUV2BGR_I420)
        self._outputs.seen["pipewire"].append(np.asarray(pixels, np.uint8))

    def close(self) -> None:
        pass
