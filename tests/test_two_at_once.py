"""Two runs on one machine, each a process of its own: two targets, two outputs, steered apart."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openpeople
from buried import buried
from runs import recorded

from xpcam.commands import launching
from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.errors import ControlError

PATIENCE = 120.0
PEOPLE = {"a": "P001", "b": "P009"}


def until(holds: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.05)


def follows(name: str) -> bool:
    if not instances.find(name).socket.exists():
        return False
    try:
        return bool(status(name)["state"] == "following")
    except ControlError:  # it is just beginning to answer
        return False


def status(name: str) -> dict[str, Any]:
    return dict(Client(name).ask("GET", "/status"))


@contextmanager
def running(name: str, output: Path) -> Iterator[subprocess.Popen[bytes]]:
    portrait = openpeople.curated.get(PEOPLE[name]).asset_path("studio_portrait")
    what = ("--target", str(portrait), "--camera", "demo", "--output", str(output))
    fast = ("--size", "320x240", "--device", "cpu", "--log-level", "warning")
    with subprocess.Popen([sys.executable, "-m", "xpcam", "start", "--name", name, *what, *fast]) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def test_two_run_side_by_side_and_end_apart(tmp_path: Path) -> None:
    clips = {name: tmp_path / f"{name}.mp4" for name in PEOPLE}
    with buried(), running("a", clips["a"]) as one, running("b", clips["b"]) as other:
        for name in PEOPLE:
            until(lambda name=name: follows(name))  # type: ignore[misc]
        Client("a").ask("PATCH", "/settings", {"mouth": 0.5})
        assert [Client(name).ask("GET", "/settings")["mouth"] for name in PEOPLE] == [0.5, 1.0]
        assert [status(name)["pid"] for name in PEOPLE] == [one.pid, other.pid]
        launching.stop("a")
        assert one.wait(PATIENCE) == 0
        made = status("b")["frames"]["generated"]
        until(lambda: status("b")["frames"]["generated"] > made + 5)  # it goes on
        assert status("b")["faults"] == {}
        launching.stop("b")
        assert other.wait(PATIENCE) == 0
    pictures = [recorded(clip) for clip in clips.values()]
    assert min(map(len, pictures)) > 3
    first, second = (seen[0].astype(int) for seen in pictures)
    assert abs(first - second).mean() > 10  # two people
    assert sorted(tmp_path.glob("?.mp4*")) == sorted(clips.values())  # nothing is left unfinished
