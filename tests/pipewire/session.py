"""A desktop session of the tests' own: D-Bus, PipeWire, WirePlumber and, for browsers, the camera portal.

Nothing of the machine's own session is touched: every socket lies in a folder that is thrown away.
"""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

PROGRAMS = {
    "pipewire": "pipewire",
    "pw-dump": "pipewire-bin",
    "wireplumber": "wireplumber",
    "dbus-daemon": "dbus-daemon",
    "gst-launch-1.0": "gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-pipewire",
}
PLUGIN_THERE = (
    "gst-inspect-1.0",
    "pipewiresrc",
)  # --exists wants a version above 1.0, which PipeWire's is not
BROWSER = {
    "chromium": "chromium",
    "gdbus": "libglib2.0-bin",
    "/usr/libexec/xdg-desktop-portal": "xdg-desktop-portal",
    "/usr/libexec/xdg-permission-store": "xdg-desktop-portal",
}
PORTAL = """[portal]
DBusName=org.freedesktop.impl.portal.desktop.stub
Interfaces=org.freedesktop.impl.portal.Access;
UseIn=stub
"""
STORE = "org.freedesktop.impl.portal.PermissionStore"
PERMIT_CAMERA = (
    *("gdbus", "call", "--session", "--dest", STORE, "--object-path", f"/{STORE.replace('.', '/')}"),
    *("--method", f"{STORE}.SetPermission", "devices", "true", "camera", "", "['yes']"),
)
CAMERA_THERE = (
    *("gdbus", "call", "--session", "--dest", "org.freedesktop.portal.Desktop"),
    *("--object-path", "/org/freedesktop/portal/desktop"),
    *("--method", "org.freedesktop.DBus.Properties.Get", "org.freedesktop.portal.Camera", "IsCameraPresent"),
)


def missing(programs: dict[str, str]) -> str:
    """Why a test cannot run; "" where everything is installed."""
    packages = [package for program, package in programs.items() if not shutil.which(program)]
    if not packages and subprocess.run(PLUGIN_THERE, capture_output=True).returncode:
        packages.append("gstreamer1.0-pipewire")
    wanted = " ".join(dict.fromkeys(packages))
    return f"run sudo apt install --no-install-recommends {wanted}" if wanted else ""


def wait_for(true: Callable[[], Any], what: str, seconds: float = 20.0) -> Any:
    """Ask until the answer is true, and return it."""
    deadline = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(0.02)
    return found


class Session:
    """The programs of one session; `environment` is what its clients need."""

    def __init__(self, folder: Path) -> None:
        """`folder` is empty, and its path short: sockets have names of 107 bytes at most."""
        self._folder = folder
        self._stack = ExitStack()
        self.environment = {
            **os.environ,
            "XDG_RUNTIME_DIR": str(folder),
            "HOME": str(folder),
            "XDG_DESKTOP_PORTAL_DIR": str(folder / "portals"),
            "XDG_CURRENT_DESKTOP": "stub",
        }
        folder.chmod(0o700)
        (folder / "portals").mkdir()
        (folder / "portals" / "stub.portal").write_text(PORTAL)
        address = f"unix:path={folder / 'bus'}"
        self.start("dbus-daemon", "--session", "--nofork", f"--address={address}", ready=folder / "bus")
        self.environment["DBUS_SESSION_BUS_ADDRESS"] = address
        self.start_pipewire()

    def start(self, *command: str, ready: Path | None = None) -> subprocess.Popen[bytes]:
        """Start a program that lives as long as the session; wait for the socket it makes."""
        log = self._stack.enter_context((self._folder / "programs.log").open("ab"))
        child = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self._stack.callback(_end, child)
        if ready is not None:
            wait_for(ready.exists, f"{command[0]} to make {ready.name}")
        return child

    def start_pipewire(self) -> None:
        socket = self._folder / "pipewire-0"
        self._daemons = [self.start("pipewire", ready=socket), self.start("wireplumber")]

    def stop_pipewire(self) -> None:
        for daemon in reversed(self._daemons):
            _end(daemon)

    def start_portal(self) -> None:
        """The desktop portal, with the camera permitted to all; a camera must be there already.

        D-Bus starts both services where they are asked for.
        """
        wait_for(lambda: self._call(PERMIT_CAMERA) is not None, "the permission store")
        wait_for(lambda: self._call(CAMERA_THERE) == "(<true>,)", "the portal to see a camera")

    def _call(self, command: tuple[str, ...]) -> str | None:
        """The answer to a D-Bus call, None where there was none."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, timeout=20)
        return None if done.returncode else done.stdout.strip()

    def dump(self) -> list[dict[str, Any]]:
        """Every object of the PipeWire daemon."""
        done = subprocess.run(
            ["pw-dump"], env=self.environment, capture_output=True, timeout=20, check=True, text=True
        )
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    def node(self, name: str) -> dict[str, Any] | None:
        """What the daemon knows of a node, None where there is none of that name."""
        nodes = [item["info"] for item in self.dump() if item["type"] == "PipeWire:Interface:Node"]
        return next((node for node in nodes if node["props"].get("node.name") == name), None)

    def close(self) -> None:
        self._stack.close()


@contextmanager
def session(folder: Path) -> Iterator[Session]:
    """A session that ends with the block."""
    opened = Session(folder)
    try:
        yield opened
    finally:
        opened.close()


def _end(child: subprocess.Popen[bytes]) -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        child.wait(5)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
