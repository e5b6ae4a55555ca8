"""The commands about the machine: what they say, and how they end."""

import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from test_doctor import HEALTHY, entry
from test_doctor import OURS as OUR_DEVICE

from xpcam import cli, machine_commands
from xpcam.doctor import gathering
from xpcam.doctor.facts import Facts, Folder
from xpcam.service import install as installing
from xpcam.service import plan as planning

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xpcam` with arguments in this process; gives the exit code."""
    monkeypatch.setattr(planning, "_check_reachable", lambda program: None)
    monkeypatch.setattr(planning, "this_program", lambda: Path("/opt/my tools/xpcam"))

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["xpcam", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return call


@pytest.mark.parametrize("action", ["install", "uninstall"])
def test_who_is_not_root_is_told_what_to_type(
    action: str, run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(installing, "run_command", lambda command: pytest.fail("nothing should run"))
    assert run("service", action, "--system", "--name", "studio") == 2
    typed = f"run sudo '/opt/my tools/xpcam' service {action} --system --name studio\n"
    assert capsys.readouterr().err.endswith(typed)


def test_anybody_may_see_what_would_be_done(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(installing, "run_command", lambda command: pytest.fail("nothing should run"))
    assert run("service", "install", "--system", "--dry-run") == 0
    shown = capsys.readouterr().out.splitlines()
    assert "write /etc/systemd/system/xpcam@.service" in shown
    started = '"/opt/my tools/xpcam" start --name %i --config /etc/xpcam/%i.toml --wait-for-camera'
    assert f"    ExecStart={started}" in shown
    assert shown[-1] == "run systemctl restart xpcam@camera.service"


def test_a_user_without_settings_is_told_where_they_belong(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("service", "install") == 2
    assert f"wanted {tmp_path}/no-config/xpcam/config.toml" in capsys.readouterr().err


def test_status_asks_systemd(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        installing, "run_command", lambda command: "ActiveState=failed\nUnitFileState=enabled\n"
    )
    assert run("service", "status") == 0
    assert capsys.readouterr().out.startswith("xpcam.service: failed, enabled\n")


def test_the_doctor_ends_as_a_start_would(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gathering, "gather", lambda: HEALTHY)
    assert run("doctor") == 0
    assert capsys.readouterr().out.endswith("xpcam can be used\n")
    monkeypatch.setattr(gathering, "gather", lambda: replace(HEALTHY, entries=(entry(OUR_DEVICE),)))
    assert run("doctor", "--json") == 4
    assert json.loads(capsys.readouterr().out)["exit_code"] == 4


def test_the_doctor_looks_again_after_mending(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "run"

    def gather() -> Facts:
        return replace(HEALTHY, runtime=Folder(folder, problem="" if folder.is_dir() else "missing"))

    monkeypatch.setattr(gathering, "gather", gather)
    assert run("doctor", "--fix", "--json") == 0
    shown = capsys.readouterr()
    assert shown.err == f"runtime folder: {folder} has mode 700\n"
    assert all(item["state"] == "ok" for item in json.loads(shown.out)["findings"])


def test_every_command_has_its_help(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("install", "uninstall", "status"):
        assert run("service", command, "--help") == 0
    assert run("doctor", "--help") == 0
    assert "mend what needs no root" in capsys.readouterr().out
    assert machine_commands.service.registered_commands
