"""The PipeWire camera over a fake node; tests/pipewire runs it in a real daemon."""

import ctypes
import errno
import logging
import os
import struct
from collections.abc import Iterator

import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.virtual_camera import pipewire, pipewire_library
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.pipewire import PipeWireCamera, State
from xpcam.virtual_camera.pipewire_format import PictureFormat, parameters, picture_format

SIZE = (64, 48)


class FakeNode:
    """A node whose state the test decides."""

    def __init__(self) -> None:
        self.now, self.reason = State.PAUSED, ""
        self.seen: list[Buffer] = []
        self.closed = 0

    def state(self) -> tuple[State, str]:
        return self.now, self.reason

    def send(self, picture: Buffer) -> None:
        self.seen.append(picture.copy())

    def close(self) -> None:
        self.closed += 1


class FakePipeWire:
    """A daemon that may be gone, and a clock."""

    def __init__(self) -> None:
        self.nodes: list[FakeNode] = []
        self.first = State.PAUSED
        self.running = True
        self.time, self.tick = 100.0, 0.001
        self.asked = 0

    def connect(self, picture: PictureFormat, fps: float) -> FakeNode:
        self.asked += 1
        if not self.running:
            raise OSError(errno.EHOSTDOWN, os.strerror(errno.EHOSTDOWN))
        self.nodes.append(FakeNode())
        self.nodes[-1].now = self.first
        return self.nodes[-1]

    def now(self) -> float:
        self.time += self.tick
        return self.time

    def camera(self, size: tuple[int, int] = SIZE) -> PipeWireCamera:
        return PipeWireCamera(size=size, fps=30, connect=self.connect, now=self.now)


@pytest.fixture
def daemon() -> FakePipeWire:
    return FakePipeWire()


def white(size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), 255, np.uint8)


def test_frames_reach_readers_only(daemon: FakePipeWire) -> None:
    camera = daemon.camera()
    assert camera.description == "Xpression Cam (PipeWire), 64x48 I420 at 30 fps"
    assert camera.readers() == 0
    camera.write(camera.convert(white()))
    assert not daemon.nodes[0].seen
    daemon.nodes[0].now = State.STREAMING
    assert camera.readers() == 1
    camera.write(camera.convert(white()))
    (seen,) = daemon.nodes[0].seen
    assert seen.shape == (72, 64)
    assert set(np.unique(seen)) == {128, 235}
    camera.close()
    camera.close()
    assert daemon.nodes[0].closed == 1


def test_widths_that_readers_pad_are_sent_packed(daemon: FakePipeWire) -> None:
    camera = daemon.camera((68, 48))
    assert "68x48 YUY2" in camera.description
    daemon.nodes[0].now = State.STREAMING
    seen = camera.convert(white((68, 48)))
    assert seen.shape == (48, 68, 2)
    assert [set(np.unique(seen[..., plane])) for plane in (0, 1)] == [{235}, {128}]


def test_a_daemon_that_restarts(daemon: FakePipeWire, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    camera = daemon.camera()
    daemon.nodes[0].now, daemon.nodes[0].reason = State.UNCONNECTED, "connection error"
    daemon.running = False
    for _ in range(100):  # 0.1 s at least
        camera.write(camera.convert(white()))
    assert daemon.nodes[0].closed == 1
    assert daemon.asked == 2
    daemon.running = True
    daemon.time += pipewire.RETRY
    camera.write(camera.convert(white()))
    daemon.nodes[1].now = State.STREAMING
    camera.write(camera.convert(white()))
    assert len(daemon.nodes[1].seen) == 1
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "PipeWire went away (connection error); the camera comes back with it",
        "PipeWire is back, and the camera with it",
    ]


def test_closed_is_closed(daemon: FakePipeWire) -> None:
    camera = daemon.camera()
    camera.close()
    assert camera.readers() == 0
    assert daemon.asked == 1
    with pytest.raises(OutputError, match="is closed"):
        camera.write(np.empty((72, 64), np.uint8))


def refused(daemon: FakePipeWire) -> str:
    with pytest.raises(OutputError) as caught:
        daemon.camera()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_daemon(daemon: FakePipeWire) -> None:
    daemon.running = False
    assert refused(daemon).startswith("no PipeWire daemon answers (Host is down), one is wanted")


@pytest.mark.parametrize("first", [State.ERROR, State.UNCONNECTED, State.CONNECTING])
def test_a_daemon_that_makes_no_node(first: State, daemon: FakePipeWire) -> None:
    daemon.first, daemon.tick = first, pipewire.PATIENCE / 4
    assert "PipeWire made no camera (it did not answer)" in refused(daemon)
    assert daemon.nodes[0].closed == 1


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    def missing(name: str) -> None:
        raise OSError(f"{name}: cannot open shared object file")

    pipewire_library.library.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", missing)
    yield
    pipewire_library.library.cache_clear()


@pytest.mark.usefixtures("no_library")
def test_no_library() -> None:
    with pytest.raises(OutputError, match=r"libpipewire-0.3.so.0 cannot be used .* install PipeWire"):
        PipeWireCamera(size=SIZE, fps=30)


def test_odd_sizes(daemon: FakePipeWire) -> None:
    with pytest.raises(OutputError, match="must be even"):
        daemon.camera((63, 48))
    assert not daemon.asked


def properties(pod: bytes) -> dict[int, tuple[int, bytes]]:
    """Key to (type, body) of the properties of an object pod; checks what every reader relies on."""
    size, kind = struct.unpack_from("=2I", pod)
    assert kind == 15
    assert len(pod) == size + 8
    found, at = {}, 16
    while at < len(pod):
        key, flags, size, kind = struct.unpack_from("=4I", pod, at)
        found[key] = (kind, pod[at + 16 : at + 16 + size])
        assert not flags
        at += 16 + (size + 7) // 8 * 8
    assert at == len(pod)
    return found


def test_what_the_node_says_of_its_pictures() -> None:
    offered, buffers, header = (
        properties(pod) for pod in parameters(picture_format((1280, 720)), 30000 / 1001)
    )
    assert offered[0x20001] == (3, struct.pack("=I", 2))  # SPA_VIDEO_FORMAT_I420
    assert offered[0x20003] == (10, struct.pack("=2I", 1280, 720))
    assert offered[0x20004] == (11, struct.pack("=2I", 30000, 1001))
    colours = [struct.unpack("=I", offered[key][1])[0] for key in range(0x2000C, 0x20010)]
    assert colours == [2, 4, 7, 1]  # limited range, BT.601, sRGB, BT.709 primaries
    assert buffers[3] == (4, struct.pack("=i", 1280 * 720 * 3 // 2))
    assert buffers[4] == (4, struct.pack("=i", 1280))
    assert header[1] == (3, struct.pack("=I", 1))


def test_structures_are_laid_out_as_in_c() -> None:
    sizes = [
        ctypes.sizeof(kind)
        for kind in (pipewire_library.Chunk, pipewire_library.Data, pipewire_library.Header)
    ]
    if ctypes.sizeof(ctypes.c_void_p) == 8:
        assert sizes == [16, 40, 32]
