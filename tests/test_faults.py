"""One long run of the real program in which everything fails in turn, and comes back, with no restart."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from faults import CAMERA, FPS, SAID, Bus, Engines, Outputs
from poison import poison_in, prepared
from runs import settings

from xpcam import builders, daemon, standstill, target_loader
from xpcam.camera import capture, opening
from xpcam.commands import launching
from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.devices import Holder
from xpcam.errors import CameraError
from xpcam.inference import reloading
from xpcam.tracking import absence
from xpcam.virtual_camera import lasting, pipewire

PATIENCE = 60.0
BACK_WITHIN = 3 * FPS  # pictures: three seconds of them, however slow the machine is
SOON = (0.05, 0.1)
GIVES_NONE = "/dev/video0 (Cam) gives no more pictures (unplugged)"


class Desk:
    """The run, and what its user sees of it."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.bus, self.engines, self.outputs = Bus(), Engines(), Outputs()
        self.asleep_for = 0.0  # seconds that the machine was suspended
        self._caplog = caplog

    def clock(self) -> float:
        return time.monotonic() + self.asleep_for

    def status(self) -> dict[str, object]:
        return dict(Client("default").ask("GET", "/status"))

    def shown(self) -> int:
        return max(map(len, self.outputs.seen.values()))

    def told(self, text: str) -> int:
        return sum(text in record.getMessage() for record in self._caplog.records)

    def until(self, holds: Callable[[], bool]) -> None:
        began = time.monotonic()
        while not holds():
            assert time.monotonic() - began < PATIENCE, (self.status(), self._caplog.text[-2000:])
            time.sleep(0.02)

    def is_well(self) -> bool:
        status = self.status()
        return status["state"] == "following" and status["faults"] == {}

    @contextmanager
    def fault(self, part: str, said: str, state: str = "idling", logged: str | None = None) -> Iterator[None]:
        """What was broken before is in the status, shown, and logged once; mended within, it is over soon."""
        self.until(lambda: said in str(self.status()["faults"]))
        self.until(lambda: self.status()["state"] == state)
        assert list(self.status()["faults"]) == [part]  # type: ignore[call-overload]
        at_first = self.shown()
        self.until(lambda: self.shown() > at_first + 5)  # a picture all the while, and one that moves
        moving = max(self.outputs.seen.values(), key=len)[-5:]
        assert len({pixels.tobytes() for pixels in moving}) > 1
        yield
        mended = self.shown()
        self.until(self.is_well)
        assert self.shown() - mended <= BACK_WITHIN
        assert self.told(logged or said) == 1
        self._caplog.clear()


@contextmanager
def at_a_desk(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, bus: Bus, **values: object
) -> Iterator[Desk]:
    caplog.set_level(logging.INFO, "xpcam")
    made = Desk(caplog)
    made.bus = bus
    for module in (capture, reloading):
        monkeypatch.setattr(module, "BACK_OFF", SOON)
    monkeypatch.setattr("xpcam.camera.on_demand.BACK_OFF", SOON)
    for module in (lasting, pipewire):
        monkeypatch.setattr(module, "RETRY", 0.1)
    monkeypatch.setattr(capture, "STALL", 0.3)
    monkeypatch.setattr(absence, "AFTER", 0.2)
    monkeypatch.setattr(standstill, "boot_time", made.clock)
    monkeypatch.setattr(standstill, "LONGEST", 600.0)
    monkeypatch.setattr(opening, "Machine", made.bus.machine)
    monkeypatch.setattr(builders, "open_tracker", made.engines.open)
    monkeypatch.setattr(target_loader, "load_target", lambda *_: prepared())
    monkeypatch.setattr(daemon, "open_output", made.outputs.open)
    wanted = settings(fps=FPS, idle_timeout=0.2, camera="0", target=Path("face.png"), **values)
    thread = threading.Thread(target=daemon.run_live, args=(wanted,))
    thread.start()
    try:
        made.until(instances.find("default").socket.exists)
        yield made
    finally:
        launching.stop("default")
        thread.join(PATIENCE)
    assert not thread.is_alive()


def harm_the_camera(desk: Desk) -> None:
    bus = desk.bus
    bus.present = None
    with desk.fault("camera", "Cam is not there", logged=GIVES_NONE):
        bus.present = CAMERA
    bus.present = None
    with desk.fault("camera", "Cam is not there", logged=GIVES_NONE):
        bus.present = replace(CAMERA, path=Path("/dev/video2"))  # and never the other one of its label
    assert bus.opened == ["/dev/video0", "/dev/video0", "/dev/video2"]
    bus.silent = True
    with desk.fault("camera", "no picture for 0.3 s"):
        bus.silent = False


def harm_it_asleep(desk: Desk) -> None:
    desk.outputs.readers = 0
    desk.until(lambda: desk.status()["state"] == "asleep")
    desk.bus.holder = Holder(812, "zoom")
    desk.outputs.readers = 1
    with desk.fault("camera", "/dev/video2 (Cam) is busy: zoom (process 812) holds it"):
        desk.bus.holder = None
    desk.outputs.readers = 0
    desk.until(lambda: desk.status()["state"] == "asleep")
    desk.bus.present = CAMERA  # its number changes while nobody looks
    desk.outputs.readers = 1
    desk.until(desk.is_well)
    assert desk.bus.opened[-1] == "/dev/video0"


def harm_what_is_seen(desk: Desk) -> None:
    desk.engines.somebody = False
    with desk.fault("face", "no face is seen"):
        desk.engines.somebody = True
    desk.bus.light = 0.05
    with desk.fault("face", "too dark for a face"):
        desk.bus.light = 1.0
    desk.engines.works, loaded = False, desk.engines.loaded
    with desk.fault("engines", "the graphics driver was reset"):
        desk.engines.works = True
    assert desk.engines.loaded == loaded + 1


def harm_the_outputs(desk: Desk) -> None:
    gone = desk.outputs.gone
    for part, said in (*SAID.items(), ("pipewire", "PipeWire went away (connection error)")):
        gone.add(part)
        stays = len(desk.outputs.seen[part])
        with desk.fault("output", said, state="following"):
            assert len(desk.outputs.seen[part]) <= stays + 2
            gone.remove(part)
        stays = len(desk.outputs.seen[part])
        desk.until(lambda: len(desk.outputs.seen[part]) > stays + 3)  # noqa: B023


def suspend_the_machine(desk: Desk) -> None:
    desk.engines.works, desk.bus.present = False, None  # as after a resume: both are gone at first
    desk.asleep_for = 3600.0
    desk.until(lambda: desk.told("nothing went on for 3600 s: the machine was suspended") == 1)
    assert float(str(desk.status()["stood_still_s"])) >= 3600
    desk.until(lambda: desk.status()["state"] == "idling")
    desk.engines.works, desk.bus.present = True, CAMERA
    desk.until(desk.is_well)


def test_a_camera_that_is_not_there_at_the_start_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus()
    bus.present = None
    with at_a_desk(monkeypatch, caplog, bus, wait_for_camera=True) as desk:
        with desk.fault("camera", "no camera /dev/video0", logged="waiting for it"):
            bus.present = CAMERA
        assert bus.opened == ["/dev/video0"]
        assert not any(poison_in(pixels) for pixels in desk.outputs.seen["device"][:5])
    bus.present = None
    with pytest.raises(CameraError, match="no camera /dev/video0"):
        daemon.run_live(settings(fps=FPS, camera="0", control=False))


def test_everything_fails_in_turn_and_comes_back(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with at_a_desk(monkeypatch, caplog, Bus()) as desk:
        everything_fails(desk)


def everything_fails(desk: Desk) -> None:
    desk.until(desk.is_well)
    for harm in (harm_the_camera, harm_it_asleep, harm_what_is_seen, harm_the_outputs, suspend_the_machine):
        harm(desk)
    assert desk.shown() > 100
    for seen in desk.outputs.seen.values():
        assert not any(poison_in(pixels) for pixels in seen)


def test_what_is_lost_is_looked_for_often_enough() -> None:
    assert max(capture.BACK_OFF) <= 2
    assert max(reloading.BACK_OFF) <= 2
    assert max(lasting.RETRY, pipewire.RETRY) <= 2
