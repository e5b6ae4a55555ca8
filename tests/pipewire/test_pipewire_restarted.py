"""One reader, while whole processes die under it: `--keep-output` holds the node meanwhile."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import pytest
from buried import buried
from outside import darkest, differ, longest_freeze
from session import PROGRAMS, Session, missing, session, wait_for
from test_pipewire_uninterrupted import BLACK, LONGEST, OTHER, Reader, two_faces

from xpcam.commands.launching import log_file
from xpcam.virtual_camera.pipewire import NODE_NAME

pytestmark = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))

PATIENCE = 60.0  # seconds for a process to be there
HANGS = 1.5  # seconds
XPCAM = (sys.executable, "-m", "xpcam")


class Kept:
    """A run in the background of the session, with a keeper."""

    def __init__(self, desktop: Session, folder: Path) -> None:
        self._environment = desktop.environment
        self._flags = (
            *("--target", str(two_faces(folder)), "--camera", "demo", "--output", "pipewire"),
            *("--size", "320x240", "--keep-output"),
        )

    def ask(self, *command: str) -> str:
        done = subprocess.run(
            (*XPCAM, *command), env=self._environment, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self) -> int:
        """Start it and give its process."""
        self.ask("start", *self._flags, "--detach")
        return self.process()

    def process(self) -> int:
        place = Path(self._environment["XDG_RUNTIME_DIR"]) / "xpcam" / "default" / "lock"
        return int(place.read_text())

    def follows(self, times: int) -> bool:
        """Whether the camera has been opened so often."""
        return log_file("default").read_text().count("camera: demo") >= times

    def keeper(self) -> int:
        """The process that has the node."""
        (found,) = subprocess.run(
            ("pgrep", "-f", f"virtual_camera.keeper {self._environment['XDG_RUNTIME_DIR']}"),
            capture_output=True,
            text=True,
        ).stdout.split()
        return int(found)


def test_a_reader_sees_no_gap_while_the_program_dies_and_is_started_again() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as name,
        session(folder := Path(name)) as desktop,
        buried(desktop.environment),
    ):
        kept = Kept(desktop, folder)
        process = kept.start()
        wait_for(lambda: desktop.node(NODE_NAME), "the node")
        reader = Reader(desktop)
        try:
            wait_for(partial(kept.follows, 1), "a frame of the camera", PATIENCE)
            keeper = kept.keeper()
            undisturbed = len(reader.seen) + 60
            wait_for(lambda: len(reader.seen) > undisturbed, "its pictures")
            os.kill(process, signal.SIGKILL)
            kept.start()
            wait_for(partial(kept.follows, 2), "the camera after the kill", PATIENCE)
            kept.ask("restart")
            wait_for(partial(kept.follows, 3), "the camera after the restart", PATIENCE)
            process = kept.process()
            os.kill(process, signal.SIGSTOP)
            time.sleep(HANGS)
            os.kill(process, signal.SIGCONT)
            old = reader.seen[-1][1]
            os.kill(process, signal.SIGUSR2)
            wait_for(lambda: differ(reader.seen[-1][1], old) > OTHER, "the other target")
            changed = len(reader.seen)
            wait_for(lambda: len(reader.seen) > changed + 30, "its pictures")
            assert reader.child.poll() is None
            assert kept.keeper() == keeper
        finally:
            reader.close()
            kept.ask("stop")
        wait_for(lambda: desktop.node(NODE_NAME) is None, "the node to go with the run")
    calm, disturbed = reader.seen[:undisturbed], reader.seen[undisturbed:]
    assert darkest(reader.seen) > BLACK
    assert longest_freeze(disturbed) < max(LONGEST, 2 * longest_freeze(calm))
