"""The keeper as a process of its own, and what a run leaves with it."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from poison import prepared
from test_virtual_camera_kept import SIZE, grey, show

from xpcam.errors import OutputError
from xpcam.rehearsal import PICTURES, rehearsing
from xpcam.rendering.target_switch import OnAir, TargetSwitch
from xpcam.retargeting.retargeter import Gains
from xpcam.virtual_camera import open_output
from xpcam.virtual_camera.keeping import Keeping, StandIn
from xpcam.virtual_camera.kept import KeptCamera, start_keeper


def test_the_real_process(tmp_path: Path) -> None:
    started: list[Path] = []

    def spawn(place: Path) -> None:
        started.append(place)
        start_keeper(place)

    keeping = Keeping(tmp_path / "k.sock")
    with closing(KeptCamera("none", keeping, size=SIZE, fps=30, spawn=spawn)) as camera:
        for level in range(5):
            show(camera, level)
        assert camera.readers() in (0, 1)
        os.kill(process_of(keeping.place), signal.SIGKILL)
        pixels = grey(9)
        until(lambda: camera.convert(pixels) is pixels)  # no longer in the memory that both had
        with pytest.raises(OutputError, match="holds the output"):
            show(camera, 9)
        assert camera.readers() == 0
    with closing(KeptCamera("none", keeping, size=SIZE, fps=30, spawn=spawn)):
        pass  # the socket that was left is no hindrance
    assert len(started) == 2
    assert not keeping.place.exists()


def process_of(place: Path) -> int:
    found = subprocess.run(("pgrep", "-f", f"virtual_camera.keeper {place}"), capture_output=True, check=True)
    return int(found.stdout)


def test_it_outlives_no_run_that_ends(tmp_path: Path) -> None:
    place = tmp_path / "k.sock"
    with closing(KeptCamera("none", Keeping(place), size=SIZE, fps=30)):
        pid = process_of(place)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)
    assert not place.exists()


def test_recordings_are_not_kept(tmp_path: Path) -> None:
    with closing(open_output(str(tmp_path / "a.mp4"), size=SIZE, fps=30, keeping=Keeping(tmp_path / "k"))):
        assert not (tmp_path / "k").exists()


def test_what_is_rehearsed_moves_and_begins_anew_with_another_target() -> None:
    switch = TargetSwitch(OnAir.of(prepared(), Gains()))
    stand_in, name = StandIn(), "first"
    with closing(switch), rehearsing(stand_in, switch, lambda: name):
        first = until(lambda: stand_in.pictures)
        assert len(set(first)) > PICTURES // 2
        name = "second"
        assert until(lambda: stand_in.pictures is not first and stand_in.pictures) == first


def until(true: Callable[[], Any]) -> Any:
    """Ask until the answer is true, and return it."""
    end = time.monotonic() + 60
    while not (found := true()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found
