"""Chromium takes "Xpression Cam" from PipeWire, through the desktop's camera portal, and shows it."""

import tempfile
from contextlib import closing, suppress
from pathlib import Path
from queue import Empty
from typing import Any

import numpy as np
import pytest
from check_browser import bgr, seen_by_chromium
from publisher import publishing
from session import BROWSER, PROGRAMS, Session, missing, session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME, PipeWireCamera

WANTED = missing(PROGRAMS | BROWSER)
pytestmark = pytest.mark.skipif(bool(WANTED), reason=WANTED)

FLAGS = ["--enable-features=WebRtcPipeWireCamera"]
SIZE = (1280, 720)
TOLERANCE = 6  # levels: Chromium reads the BT.601 that we write
COLOURS = [(200, 40, 40), (40, 40, 200), (40, 200, 40), (128, 128, 128)]  # BGR of the four quarters


def quarters() -> np.ndarray:
    pixels = np.empty((2, 2, 3), np.uint8)
    pixels.reshape(4, 3)[:] = COLOURS
    return pixels.repeat(SIZE[1] // 2, 0).repeat(SIZE[0] // 2, 1)


def test_chromium_lists_and_plays_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("XDG_RUNTIME_DIR", folder)
        with session(Path(folder)) as desktop:
            seen = watched(desktop)
    assert seen["label"] == "Xpression Cam"
    assert seen["size"] == list(SIZE)
    assert np.abs(np.array(bgr(seen["rgb"])) - COLOURS).max() <= TOLERANCE
    assert seen["fps"] > 5  # content is tested here; the rate is measured on an idle machine


def watched(desktop: Session) -> dict[str, Any]:
    """What Chromium saw; asked again where it got no answer from the portal, as happens now and then."""
    with closing(PipeWireCamera(size=SIZE, fps=30)) as camera, publishing(camera, quarters(), 30):
        wait_for(lambda: desktop.node(NODE_NAME), "the node")
        desktop.start_portal()
        for _ in range(3):
            with suppress(Empty):
                seen = seen_by_chromium(30, counting=2, flags=FLAGS, environment=desktop.environment)
                if "label" in seen:
                    return seen
    pytest.fail("Chromium shows no camera")
