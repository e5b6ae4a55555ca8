"""A camera on the network that a script rules: the demo as MJPEG over HTTP, and its faults."""

import socket
import threading
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np

BOUNDARY = "picture"
HEAD = (
    "HTTP/1.0 200 OK\r\nConnection: close\r\n"
    f"Content-Type: multipart/x-mixed-replace; boundary={BOUNDARY}\r\n\r\n"
).encode()

Mode = Literal["face", "nobody", "dark", "silent", "busy", "gone"]


def encoded(picture: np.ndarray) -> bytes:
    done, data = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, 85))
    assert done
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
    return head.encode() + data.tobytes() + b"\r\n"


def pictures(clip: Path, width: int = 640) -> list[np.ndarray]:
    with av.open(str(clip)) as container:
        decoded = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    scale = width / decoded[0].shape[1]
    return [cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) for one in decoded]


class NetworkCamera:
    """Serves one kind of picture until told another; one script at a time rules it.

    Attributes:
        url: what goes to `--camera`.
    """

    def __init__(self, clip: Path, fps: int) -> None:
        seen = pictures(clip)[:: max(1, 30 // fps)]
        self._fps = fps
        self._face = [encoded(one) for one in seen]
        self._dark = [encoded(np.zeros_like(seen[0]))]  # at a thirtieth of the light it is still followed
        self._nobody = [encoded(np.full_like(seen[0], 120))]
        self._mode: Mode = "face"
        self._clients: list[socket.socket] = []
        self._line: socket.socket | None = None
        self._port = 0
        self._listen()
        self.url = f"http://127.0.0.1:{self._port}/"

    def set(self, mode: Mode) -> None:
        """Be like this from now on."""
        before, self._mode = self._mode, mode
        if mode in ("gone", "busy"):
            self._hang_up()
        if mode == "gone":
            self._refuse()
        elif before == "gone":
            self._listen()

    def close(self) -> None:
        self.set("gone")

    def _listen(self) -> None:
        line = socket.socket()
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind(("127.0.0.1", self._port))
        line.listen(4)
        self._port = line.getsockname()[1]
        self._line = line
        threading.Thread(target=self._accept, args=(line,), daemon=True).start()

    def _refuse(self) -> None:
        if self._line is not None:
            with suppress(OSError):
                self._line.shutdown(socket.SHUT_RDWR)  # wakes who accepts
            self._line.close()
            self._line = None

    def _hang_up(self) -> None:
        for client in self._clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._clients.clear()

    def _accept(self, line: socket.socket) -> None:
        while True:
            try:
                client, _ = line.accept()
            except OSError:
                return
            self._clients.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            client.recv(4096)
            if self._mode == "busy":
                client.sendall(b"HTTP/1.0 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
                return
            client.sendall(HEAD)
            began = time.monotonic()
            for number in count():
                time.sleep(max(0.0, began + number / self._fps - time.monotonic()))
                if self._mode == "silent":
                    continue
                shown = {"dark": self._dark, "nobody": self._nobody}.get(self._mode, self._face)
                client.sendall(shown[number % len(shown)])
