"""`xpcam start` on the built-in driver in a session of the tests', looked at from outside."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import openpeople
from session import Session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME

FIRST_FRAME = "first frame came after "


class Daemon:
    """A running daemon."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path) -> None:
        self.child = child
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def camera_open(self) -> bool:
        """Whether a descriptor of the process is the driver's video."""
        links = []
        for link in Path(f"/proc/{self.child.pid}/fd").iterdir():
            try:
                links.append(link.readlink().name)
            except FileNotFoundError:
                continue  # closed meanwhile
        return "demo.mp4" in links

    @property
    def processor_seconds(self) -> float:
        """User and system time of the process with all its threads."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def share_of_a_core(self, seconds: float) -> float:
        """What part of a core it takes from now on."""
        began, used = time.monotonic(), self.processor_seconds
        time.sleep(seconds)
        return (self.processor_seconds - used) / (time.monotonic() - began)

    def wakes_ms(self) -> list[float]:
        """Milliseconds from each reader to the camera's first frame, as it logs them."""
        return [float(said.split()[0]) for said in self.log.split(FIRST_FRAME)[1:]]


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
            yield Daemon(child, folder / "daemon.log")
        finally:
            child.terminate()
