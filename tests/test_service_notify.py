"""What systemd is told: ready with the first picture, fed while the loop goes round, and no other way."""

import os
import socket
from pathlib import Path

import pytest
from faces import Replay, face
from poison import PoisonedCamera, Recorder
from runs import settings, wired

from xpcam import daemon
from xpcam.service import notify
from xpcam.service.notify import Heartbeat

WATCHED = {"NOTIFY_SOCKET": "/unused", "WATCHDOG_USEC": "8000000"}


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


def beating(environment: dict[str, str] = WATCHED) -> tuple[Heartbeat, list[str], Clock]:
    told: list[str] = []
    clock = Clock()
    return Heartbeat(environment, send=told.append, now=clock), told, clock


def test_ready_comes_with_the_first_picture_and_once() -> None:
    heart, told, _ = beating()
    heart.beat(0, 0)
    assert told == []
    heart.beat(0, 1)
    heart.beat(0, 2)
    assert len(told) == 1
    assert "READY=1\n" in told[0]


def test_the_watchdog_is_fed_four_times_in_its_time_however_fast_the_loop_is() -> None:
    heart, told, clock = beating()
    for turn in range(1, 81):  # 8 s at 10 turns a second
        clock.time += 0.1
        heart.beat(turn, turn)
    assert 4 <= sum("WATCHDOG=1" in message for message in told) <= 5


def test_a_loop_that_stands_still_feeds_nothing() -> None:
    heart, told, clock = beating()
    heart.beat(1, 1)
    told.clear()
    clock.time += 60
    assert told == []
    heart.beat(1, 1)  # a turn without a new picture is a turn
    assert "WATCHDOG=1" in told[0]


def test_the_status_line_says_what_does_not_work() -> None:
    heart, told, clock = beating()
    heart.beat(1, 1)
    clock.time += 11
    heart.beat(1, 111, lambda: {"camera": "Cam is not there"})
    assert told[-1].endswith(
        "STATUS=10.1 pictures a second on the output, 0.1 of them new; camera: Cam is not there\n"
    )


@pytest.mark.parametrize(
    "environment", [{}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "8000000", "WATCHDOG_PID": "1"}]
)
def test_no_watchdog_is_fed_that_does_not_watch_this_process(environment: dict[str, str]) -> None:
    heart, told, clock = beating(environment)
    heart.beat(1, 1)
    told.clear()
    for _ in range(9):
        clock.time += 1
        heart.beat(1, 1)
    assert told == []


def test_a_watchdog_of_this_process_is_fed() -> None:
    heart, told, clock = beating({**WATCHED, "WATCHDOG_PID": str(os.getpid())})
    heart.beat(1, 1)
    clock.time += 2
    heart.beat(2, 2)
    assert "WATCHDOG=1" in told[1]


def test_the_status_tells_both_rates_also_after_counting_began_anew() -> None:
    heart, told, clock = beating()
    heart.beat(0, 400)
    clock.time += 10
    heart.beat(250, 700)
    assert "STATUS=70.0 pictures a second on the output, 25.0 of them new" in told[-1]
    clock.time += 10
    heart.beat(100, 300)
    assert "STATUS=30.0 pictures a second on the output, 10.0 of them new" in told[-1]


def test_outside_of_a_service_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("nothing should be sent"))
    heart = Heartbeat({})
    heart.beat(1, 1)
    heart.stopping()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_message_reaches_the_socket(abstract: bool, tmp_path: Path) -> None:
    place = f"@xpcam-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + place[1:] if abstract else place)
        Heartbeat({"NOTIFY_SOCKET": place}).stopping()
        assert manager.recv(1000) == b"STOPPING=1\nSTATUS=stopping\n"


def test_a_manager_that_is_gone_or_full_holds_up_nothing(tmp_path: Path) -> None:
    Heartbeat({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).stopping()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        heart = Heartbeat({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2000):  # more than a queue holds
            heart.stopping()


def test_a_live_run_is_ready_then_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(notify, "_sender", lambda place: told.append)
    camera = PoisonedCamera(lambda n: True, frames=20)
    output = Recorder()
    with wired(monkeypatch, camera, output, Replay([face()])):
        daemon.run_live(settings(frames=10))
    assert "READY=1" in told[0]
    assert told[-1].startswith("STOPPING=1")
