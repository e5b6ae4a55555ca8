"""What happens at the same moment, or where nothing can be written: never a run lost, never a traceback."""

import os
from functools import partial
from pathlib import Path

import pytest
from controlled import controlled

from xpcam.commands import launching
from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.errors import ControlError
from xpcam.file_lock import try_lock as really_try
from xpcam.governor import STEPS


def test_who_only_asks_keeps_no_run_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    held = iter((True, True, False))  # while somebody looks whether one runs

    def try_lock(path: Path) -> int | None:
        return None if next(held) else really_try(path)

    monkeypatch.setattr(instances, "try_lock", try_lock)
    with instances.claim("default") as one:
        monkeypatch.setattr(instances, "try_lock", really_try)
        assert one.pid() == os.getpid()
        with pytest.raises(ControlError, match="runs already"), instances.claim("default"):
            pytest.fail("two of one name")


def test_a_run_that_has_ended_meanwhile_is_said_to_have() -> None:
    with instances.claim("default"):
        client = Client("default")
        with pytest.raises(ControlError, match="does not answer .no socket yet.: it may be starting"):
            client.ask("GET", "/status")
    with pytest.raises(ControlError, match="'default' has ended"):
        client.ask("GET", "/status")


def test_a_log_that_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with pytest.raises(ControlError, match=r"the log .*default.log cannot be written .Not a directory."):
        launching.launch("default", [])


def test_what_is_asked_for_last_is_done_or_left_but_never_a_traceback(tmp_path: Path) -> None:
    for _ in range(20):
        done: list[int] = []
        with controlled() as control:
            for number in range(5):
                control.steering.soon(partial(done.append, number))
                control.steering.soon(partial(control.steering.spare, STEPS[number % 3]))
        assert done == [0, 1, 2, 3, 4]
    assert control.pipeline.targets.latest.look.coarse == STEPS[1].coarse
