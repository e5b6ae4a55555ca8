"""`xpcam start` on the built-in driver in a session of the tests', looked at from outside."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openpeople
from outside import Daemon
from session import Session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME


@contextmanager
def daemon(desktop: Session, folder: Path, *flags: str) -> Iterator[Daemon]:
    """A daemon whose node is there; further flags replace those it begins with."""
    target = openpeople.curated.get("P009").asset_path("studio_portrait")
    program = (sys.executable, str(Path(__file__).with_name("failing.py")), "start", "--target", str(target))
    command = (*program, "--camera", "demo", "--output", "pipewire", "--size", "640x360", *flags)
    with (
        (folder / "daemon.log").open("wb") as log,
        subprocess.Popen(command, env=desktop.environment, stdout=log, stderr=log) as child,
    ):
        try:
            wait_for(lambda: child.poll() is not None or desktop.node(NODE_NAME), "the node", 60)
            assert child.poll() is None, (folder / "daemon.log").read_text()
            running = Daemon(child, folder / "daemon.log", "demo.mp4")
            wait_for(lambda: running.slept, "the daemon to find nobody looking")
            yield running
        finally:
            child.terminate()
