"""The PipeWire camera in a real PipeWire daemon, read by GStreamer."""

import os
import select
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from publisher import publishing
from session import PROGRAMS, Session, missing, session, wait_for

from xpcam.device_report import report
from xpcam.devices import Holder
from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera import open_output
from xpcam.virtual_camera.pipewire import NODE_NAME, PipeWireCamera

pytestmark = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))

SIZE = (640, 360)
TOLERANCE = 18  # levels: GStreamer 0.3.65 does not hear that the matrix is BT.601
BLACK, STEP = 32, 8  # levels of grey: of the first picture, and from one numbered picture to the next


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as folder,
        session(Path(folder)) as opened,
    ):
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        yield opened


def halves(size: tuple[int, int]) -> Pixels:
    """Blue on the left, red on the right (BGR)."""
    pixels = np.empty((size[1], size[0], 3), np.uint8)
    pixels[:, : size[0] // 2], pixels[:, size[0] // 2 :] = (200, 40, 40), (40, 40, 200)
    return pixels


def reader(desktop: Session, frames: int, size: tuple[int, int] = SIZE) -> subprocess.Popen[bytes]:
    """GStreamer, which writes raw pictures to its standard output."""
    width, height = size
    source = f"pipewiresrc target-object={NODE_NAME} num-buffers={frames} ! video/x-raw ! videoconvert"
    caps = f"video/x-raw,format=BGRx,width={width},height={height}"
    command = f"timeout 30 gst-launch-1.0 -q {source} ! {caps} ! fdsink"
    return subprocess.Popen(command.split(), env=desktop.environment, stdout=subprocess.PIPE)


def pictures(child: subprocess.Popen[bytes], size: tuple[int, int] = SIZE) -> np.ndarray:
    """(n, height, width, 3) BGR of everything that a reader wrote until its end."""
    written, _ = child.communicate(timeout=30)
    assert child.returncode == 0
    return np.frombuffer(written, np.uint8).reshape(-1, size[1], size[0], 4)[..., :3]


def test_the_node_is_a_camera_by_our_name(desktop: Session) -> None:
    with closing(open_output("pipewire", size=SIZE, fps=30)) as camera:
        assert camera.description == "Xpression Cam (PipeWire), 640x360 I420 at 30 fps"
        node = wait_for(lambda: desktop.node(NODE_NAME), "the node")
        assert node["props"]["media.class"] == "Video/Source"
        assert node["props"]["node.description"] == "Xpression Cam"
        (offered,) = node["params"]["EnumFormat"]
        assert (offered["format"], offered["size"]) == ("I420", {"width": 640, "height": 360})
        assert offered["framerate"] == {"num": 30, "denom": 1}
    wait_for(lambda: desktop.node(NODE_NAME) is None, "the node to go")


@pytest.mark.parametrize("size", [SIZE, (1366, 768)])
def test_several_readers_see_the_picture(desktop: Session, size: tuple[int, int]) -> None:
    with closing(PipeWireCamera(size=size, fps=60)) as camera, publishing(camera, halves(size)):
        readers = [reader(desktop, 10, size) for _ in range(3)]
        for seen in [pictures(child, size) for child in readers]:
            assert len(seen) == 10
            height, width = seen.shape[1:3]
            for x, colour in ((width // 4, (200, 40, 40)), (3 * width // 4, (40, 40, 200))):
                for y in (2, height // 2, height - 2):
                    assert np.abs(seen[-1, y, x].astype(int) - colour).max() <= TOLERANCE


def test_a_reader_that_hangs_holds_up_no_other(desktop: Session) -> None:
    with closing(PipeWireCamera(size=SIZE, fps=60)) as camera, publishing(camera, halves(SIZE)):
        stuck = reader(desktop, 1000)
        assert stuck.stdout is not None
        stuck.stdout.read(SIZE[0] * SIZE[1] * 4)  # it reads no more: its pipe is full after a picture
        assert len(pictures(reader(desktop, 60))) == 60
        stuck.terminate()
        stuck.communicate()


def test_devices_tells_who_shows_and_who_reads_it(desktop: Session) -> None:
    assert str(report()[-1]).startswith('pipewire  "Xpression Cam" (PipeWire ')
    with closing(PipeWireCamera(size=SIZE, fps=30)) as camera, publishing(camera, halves(SIZE)):
        child = reader(desktop, 1000)
        wait_for(lambda: len(report()[-1].held_by) == 2, "the reader")
        us, other = report()[-1].held_by
        assert us == Holder(os.getpid(), "Xpression Cam")
        assert other.name == "gst-launch-1.0"
        child.terminate()
        child.communicate()


def test_nothing_is_converted_while_nobody_reads(desktop: Session) -> None:
    with closing(PipeWireCamera(size=SIZE, fps=30)) as camera, publishing(camera, halves(SIZE)):
        assert camera.readers() == 0
        assert camera.convert(halves(SIZE)).size == 0
        child = reader(desktop, 100)
        wait_for(lambda: camera.readers() == 1, "the reader")
        assert camera.convert(halves(SIZE)).size == 640 * 360 * 3 // 2
        child.terminate()
        child.communicate()
        wait_for(lambda: camera.readers() == 0, "the reader to go")
        assert len(pictures(reader(desktop, 5))) == 5  # and a later one is served again


def test_a_reader_sees_each_picture_at_once_and_in_order(desktop: Session) -> None:
    with closing(PipeWireCamera(size=SIZE, fps=60)) as camera:
        child = reader(desktop, 1000)
        output = child.stdout
        assert output is not None

        def show(level: int) -> None:
            camera.write(camera.convert(np.full((SIZE[1], SIZE[0], 3), level, np.uint8)))

        def listening() -> bool:  # PipeWire 1.x calls a reader one some pictures before it takes them
            show(BLACK)
            return bool(select.select([output], [], [], 0.05)[0])

        wait_for(listening, "a first picture")
        for level in range(BLACK + STEP, 232, STEP):  # the next is only made when this one was seen
            show(level)
            seen = BLACK
            while abs(seen - BLACK) < STEP / 2:
                seen = output.read(SIZE[0] * SIZE[1] * 4)[0]
            assert abs(seen - level) < STEP / 2
        child.terminate()
        child.communicate()


def test_it_comes_back_with_the_daemon(desktop: Session, caplog: pytest.LogCaptureFixture) -> None:
    with closing(PipeWireCamera(size=SIZE, fps=60)) as camera, publishing(camera, halves(SIZE)):
        assert len(pictures(reader(desktop, 5))) == 5
        desktop.stop_pipewire()
        wait_for(lambda: "PipeWire went away" in caplog.text, "the loss to be told")
        desktop.start_pipewire()
        wait_for(lambda: desktop.node(NODE_NAME), "the node to come back")
        assert len(pictures(reader(desktop, 5))) == 5


def test_no_daemon_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with pytest.raises(OutputError, match=r"no PipeWire daemon answers \(Host is down\)") as caught:
        open_output("pipewire", size=SIZE, fps=30)
    assert "\n" not in str(caught.value)
