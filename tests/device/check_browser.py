"""Chromium, in the emulated machine or here: it lists "Xpression Cam", plays it, and shows its colours.

A page on localhost asks for the camera by its label, waits for frames and posts what it sees.
"""

import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
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
  const next = () => new Promise(done => video.requestVideoFrameCallback(done));
  for (let n = 0; n < 3; n++) await next();
  const [began, seconds] = [performance.now(), Number(location.hash.slice(1))];
  let frames = 0;
  for (; performance.now() < began + 1000 * seconds; frames++) await next();
  const fps = 1000 * frames / (performance.now() - began);
  const [width, height] = [video.videoWidth, video.videoHeight];
  const context = new OffscreenCanvas(width, height).getContext("2d");
  context.drawImage(video, 0, 0);
  const pixel = (x, y) => [...context.getImageData(x * width / 4, y * height / 4, 1, 1).data].slice(0, 3);
  const rgb = [pixel(1, 1), pixel(3, 1), pixel(1, 3), pixel(3, 3)];
  tell({label: ours.label, fps, size: [width, height], rgb});
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
def _browser(url: str, profile: str, flags: Sequence[str], environment: Mapping[str, str]) -> Iterator[None]:
    command = (*COMMAND, *flags, f"--user-data-dir={profile}", url)
    child = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        child.kill()
        child.wait()


def seen_by_chromium(
    seconds: float = 600,
    *,
    counting: float = 0,
    flags: Sequence[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> dict[str, Any]:
    """What the page saw: `label`, `size`, `rgb` of the four quarters and `fps`, or `labels`, or `error`.

    Frames are counted for `counting` seconds. Raises queue.Empty when nothing came for `seconds`.
    """
    _Page.results = Queue()
    server = HTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with (
            tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile,
            _browser(f"http://127.0.0.1:{server.server_port}/#{counting}", profile, flags, environment),
        ):
            return _Page.results.get(timeout=seconds)
    finally:
        server.shutdown()
        server.server_close()


def bgr(seen: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """The page's red-green-blue in our order."""
    return [tuple(reversed(colour)) for colour in seen]
