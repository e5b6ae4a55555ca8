"""The soak in small: every change and every fault once, by the real program in a process of its own.

`make soak` is the five minutes, and `make soak SECONDS=3600` the hour: what grows slowly is seen only there.
"""

import sys
import time
from pathlib import Path

import pytest
import soak
from network_camera import NetworkCamera
from process import Cost, cost

from xpcam.commands import launching
from xpcam.resources import shipped

FPS = 10
PATIENCE = 60.0
GREW = 1.1


def settled(pid: int, before: Cost) -> Cost:
    """What it costs once what was left behind is closed, which is done in the background."""
    began = time.monotonic()
    while True:
        now = cost(pid)
        done = now.descriptors <= before.descriptors and now.threads <= before.threads
        if done or time.monotonic() - began > PATIENCE:
            return now
        time.sleep(0.1)


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_it_is_steered_and_harmed_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(soak, "HARMED_FOR", 0.5)
    monkeypatch.setattr(soak, "PEOPLE", ("P001", "P009"))
    camera = NetworkCamera(shipped("demo.mp4"), FPS)
    more = ["--fps", str(FPS), "--size", "320x240", "--device", "cpu"]
    process = soak.started(tmp_path, camera.url, "small", more)
    try:
        run = soak.Soak(process, camera, "small", PATIENCE)
        for _ in range(14):
            run.change()
        run.sample()
        for kind in ("gone", "busy", "silent", "nobody", "dark", "stopped"):
            run.harm(kind)
        for _ in range(14):
            run.change()
        before = run.samples[0].cost
        after = settled(process.pid, before)
        launching.stop("small")
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
        camera.close()
    assert after.memory_mb < GREW * before.memory_mb
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert all(all(harm.idled) for harm in run.harms.values())
    assert max(max(harm.back) for harm in run.harms.values()) < soak.LONGEST
    assert {kind for kind, harm in run.harms.items() if harm.said} >= {
        "gone",
        "busy",
        "silent",
        "nobody",
        "dark",
    }
    assert "Traceback" not in (tmp_path / "log").read_text(encoding="utf-8")
