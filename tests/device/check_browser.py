"""Chromium in the emulated machine: it lists "Xpression Cam", plays it, and shows its colours.

A page on localhost asks for the camera by its label, waits for frames and posts what it sees.
"""

import json
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from typing import Any

PAGE = """<!doctype html><script>
const tell = what => fetch("/result", {method: "POST", body: JSON.stringify(what)});
(async () => {
  (await navigator.mediaDevices.getUserMedia({video: true}).catch(() => null))
    ?.getTracks().forEach(track => track.stop());  // labels are told only after a permission
  const devices = (await navigator.mediaDevices.enumerateDevices()).filter(d => d.kind == "videoinput");
  const ours = devices.find(d => d.label.startsWith("Xpression Cam"));
  if (!ours) return tell({labels: devices.map(d => d.label)});
  const stream = await navigator.mediaDevices.getUserMedia({video: {deviceId: {exact: ours.deviceId}}});
  const video = document.createElement("video");
  video.muted = true;
  video.srcObject = stream;
  await video.play();
  for (let n = 0; n < 3; n++) await new Promise(next => video.requestVideoFrameCallback(next));
  const [width, height] = [video.videoWidth, video.videoHeight];
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(video, 0, 0);
  const pixel = (x, y) => [...context.getImageData(x * width / 4, y * height / 4, 1, 1).data].slice(0, 3);
  tell({label: ours.label, size: [width, height], rgb: [pixel(1, 1), pixel(3, 1), pixel(1, 3), pixel(3, 3)]});
})().catch(error => tell({error: String(error)}));
</script>"""

COMMAND = (
    "chromium",
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--use-fake-ui-for-media-stream",
)


class _Page(BaseHTTPRequestHandler):
    results: Queue[dict[str, Any]]

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(204)
        self.end_headers()
        self.results.put(json.loads(body))

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Say nothing: the checks print what came of it."""


@contextmanager
def _browser(url: str, profile: str) -> Iterator[None]:
    child = subprocess.Popen(
        (*COMMAND, f"--user-data-dir={profile}", url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        child.kill()
        child.wait()


def seen_by_chromium(seconds: float = 600) -> dict[str, Any]:
    """What the page saw: `label`, `size` and `rgb` of the four quarters, or `labels`, or `error`."""
    _Page.results = Queue()
    server = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
            _browser(f"http://127.0.0.1:{server.server_port}/", profile),
        ):
            return _Page.results.get(timeout=seconds)
    finally:
        server.shutdown()
        server.server_close()


def bgr(seen: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The page's red-green-blue in our order."""
    return [tuple(reversed(colour)) for colour in seen]
