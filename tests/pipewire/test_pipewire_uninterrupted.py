"""One reader, from the first picture to the last: engines fail and are loaded again, the target changes."""

import signal
import subprocess
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import openpeople
import pytest
from daemon import daemon
from outside import Daemon, Seen, darkest, differ, longest_freeze
from session import PROGRAMS, Session, missing, session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME

pytestmark = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))

SIZE = (320, 240)
LONGEST = 0.5  # seconds without a new picture that a viewer may see
OTHER = 20  # mean levels between two people
BLACK = 24  # mean level of the darkest picture that counts as one


class Reader:
    """GStreamer in another process: every picture that it got, small, and when."""

    def __init__(self, desktop: Session) -> None:
        width, height = SIZE
        caps = f"video/x-raw,format=BGRx,width={width},height={height}"
        source = f"pipewiresrc target-object={NODE_NAME} ! video/x-raw ! videoconvert ! {caps}"
        command = f"gst-launch-1.0 -q {source} ! fdsink"
        self.child = subprocess.Popen(command.split(), env=desktop.environment, stdout=subprocess.PIPE)
        self.seen: Seen = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        width, height = SIZE
        assert self.child.stdout is not None
        while len(raw := self.child.stdout.read(width * height * 4)) == width * height * 4:
            pixels = np.frombuffer(raw, np.uint8).reshape(height, width, 4)
            self.seen.append((time.monotonic(), pixels[::4, ::4, :3].copy()))

    def close(self) -> None:
        self.child.terminate()
        self._thread.join()
        self.child.communicate()


def reloaded(running: Daemon, times: int) -> bool:
    return running.reloads() == times


def two_faces(folder: Path) -> Path:
    faces = folder / "faces"
    faces.mkdir()
    for person in ("P009", "P010"):
        picture = cv2.imread(str(openpeople.curated.get(person).asset_path("studio_portrait")))
        assert picture is not None
        cv2.imwrite(str(faces / f"{person}.png"), picture)
    return faces


def test_a_reader_sees_no_gap_through_three_engine_restarts_and_a_change_of_target() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as name,
        session(folder := Path(name)) as desktop,
    ):
        target = str(two_faces(folder))
        with daemon(desktop, folder, "--target", target, "--size", "320x240") as running:
            reader = Reader(desktop)
            try:
                wait_for(lambda: len(running.wakes_ms()) == 1, "a frame of the camera")
                undisturbed = len(reader.seen) + 60
                wait_for(lambda: len(reader.seen) > undisturbed, "its pictures")
                for times in range(1, 4):
                    running.child.send_signal(signal.SIGHUP)
                    wait_for(partial(reloaded, running, times), "new engines")
                old = reader.seen[-1][1]
                running.child.send_signal(signal.SIGUSR2)
                wait_for(lambda: differ(reader.seen[-1][1], old) > OTHER, "the other target")
                changed = len(reader.seen)
                wait_for(lambda: len(reader.seen) > changed + 30, "its pictures")
                assert reader.child.poll() is None
                assert running.child.poll() is None
                assert running.log.count("the graphics driver was reset") == 3
            finally:
                reader.close()
    assert darkest(reader.seen) > BLACK
    calm, disturbed = reader.seen[:undisturbed], reader.seen[undisturbed:]
    assert longest_freeze(disturbed) < max(LONGEST, 2 * longest_freeze(calm))
