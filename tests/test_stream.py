"""Network streams, served on the loopback interface, and how soon their pictures are shown."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import av
import cv2
import numpy as np
import pytest
from videos import GREY_STEP, write_video

from xpcam.camera import opening as camera
from xpcam.camera import video
from xpcam.errors import CameraError
from xpcam.frame import Frame


def refusal(spec: str) -> str:
    with pytest.raises(CameraError) as caught:
        camera.open_camera(spec)
    message = str(caught.value)
    assert "\n" not in message
    return message


class Served(BaseHTTPRequestHandler):
    """/live is an endless-looking stream of JPEG pictures that breaks off after five; else files."""

    folder: ClassVar[Path]
    asked: ClassVar[list[str]]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path != "/live":
            data = (self.folder / self.path.removeprefix("/")).read_bytes()
            self.reply("video/mp4", {"Content-Length": str(len(data))})
            self.wfile.write(data)
            return
        self.reply("multipart/x-mixed-replace; boundary=picture")
        for number in range(5):
            grey = np.full((48, 64, 3), number * GREY_STEP, np.uint8)
            data = cv2.imencode(".jpg", grey)[1].tobytes()
            head = f"--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            self.wfile.write(head.encode() + data + b"\r\n")

    def reply(self, kind: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(200)
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    Served.folder, Served.asked = tmp_path, []
    with ThreadingHTTPServer(("127.0.0.1", 0), Served) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_network_camera_that_breaks_off_is_connected_to_again(
    served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpcam.camera.capture.BACK_OFF", (0.0,))
    opened = camera.open_camera(f"{served}/live")
    frames: list[Frame] = []
    while Served.asked.count("/live") < 3:
        frame = opened.latest(1)
        frames += [frame] if frame else []
    opened.close()
    assert frames[0].pixels.shape == (48, 64, 3)
    assert [frame.sequence for frame in frames] == sorted({frame.sequence for frame in frames})
    assert not opened.finished


def test_a_file_behind_a_url_ends(served: str, tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", faststart=True)
    opened = camera.open_camera(f"{served}/clip.mp4", loop=False)
    last = -1
    while (frame := opened.latest(30)) is not None:
        last = frame.sequence
    opened.close()
    assert (last, opened.finished) == (7, True)


def test_a_stream_that_nobody_serves_is_refused_without_its_password() -> None:
    with socket.socket() as taken:  # bound but not listening: whoever connects is refused
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        message = refusal(f"http://user:secret@127.0.0.1:{port}/live?token=secret")
    assert message.startswith(f"http://127.0.0.1:{port}/live cannot be opened: Connection refused")
    assert "secret" not in message


def test_a_stream_of_an_unknown_kind_is_refused() -> None:
    assert "no stream of kind 'gopher'" in refusal("gopher://127.0.0.1/x")


class Counting:
    """A container that counts the packets that were asked for; time passes only while they come."""

    def __init__(self, container: Any) -> None:
        self.container, self.packets = container, 0

    def monotonic(self) -> float:
        return 5.0 * self.packets

    perf_counter = monotonic

    def __getattr__(self, name: str) -> Any:
        return getattr(self.container, name)

    def demux(self, *streams: Any) -> Iterator[Any]:
        for packet in self.container.demux(*streams):
            self.packets += 1
            yield packet


def write_live(path: Path) -> Path:
    """A stream as cameras send it: no picture waits for a later one."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(10):
            pixels = np.full((48, 64, 3), number * GREY_STEP, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode())
    return path


def test_a_live_stream_is_shown_packet_by_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with av.open(str(write_live(tmp_path / "live.ts"))) as container:
        live = Counting(container)
        monkeypatch.setattr(video, "time", live)
        decoder = video.Decoder(live, "live")  # type: ignore[arg-type]
        for number in range(1, 4):
            picture = decoder.read()
            assert picture is not None
            assert live.packets == number
            assert (picture.arrived, picture.decode_seconds) == (5 * number, 0)  # waiting is no decoding
