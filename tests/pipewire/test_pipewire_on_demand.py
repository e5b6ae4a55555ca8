"""The daemon sleeps while nobody reads its node: seen from outside, in /proc."""

import subprocess
import tempfile
from pathlib import Path

import pytest
from daemon import daemon
from outside import Daemon
from session import PROGRAMS, Session, missing, session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME

pytestmark = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))


def reader(desktop: Session, frames: int) -> subprocess.Popen[bytes]:
    source = f"pipewiresrc target-object={NODE_NAME} num-buffers={frames}"
    command = f"timeout 60 gst-launch-1.0 -q {source} ! video/x-raw ! fakesink"
    return subprocess.Popen(command.split(), env=desktop.environment)


def read(desktop: Session, running: Daemon, times: int) -> None:
    """A reader comes and goes; its camera opens and closes."""
    child = reader(desktop, 10_000)
    try:
        wait_for(lambda: len(running.wakes_ms()) == times, "a frame of the camera")
    except AssertionError:
        print(child.poll(), running.log)
        raise
    assert running.camera_open
    assert child.poll() is None
    child.terminate()
    child.wait()
    wait_for(lambda: not running.camera_open, "the camera to close")


def test_asleep_awake_asleep() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as folder,
        session(Path(folder)) as desktop,
        daemon(desktop, Path(folder), "--idle-timeout", "0.5") as running,
    ):
        assert not running.camera_open
        for times in (1, 2):
            read(desktop, running, times)
        for _ in range(3):  # it looks at what is there, and reads nothing
            assert desktop.node(NODE_NAME)
        assert not running.camera_open
        awake = desktop_share(desktop, running)
        asleep = running.share_of_a_core(3)
        assert asleep < awake / 5
        assert asleep < 0.05  # alone on a machine it is below .01: measure_sleep.py
        assert len(running.wakes_ms()) == 3


def desktop_share(desktop: Session, running: Daemon) -> float:
    """The part of a core it takes while somebody reads."""
    child = reader(desktop, 10_000)
    wait_for(lambda: len(running.wakes_ms()) == 3, "a frame of the camera")
    share = running.share_of_a_core(2)
    child.terminate()
    child.wait()
    wait_for(lambda: not running.camera_open, "the camera to close")
    return share
