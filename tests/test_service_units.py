"""The units as systemd itself judges them: without errors, and closed to what they do not need."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from xpcam import daemon, errors
from xpcam.control.instance import Instance
from xpcam.service.plan import _unit
from xpcam.settings import Settings
from xpcam.virtual_camera.keeping import Keeping, StandIn

ROOT = Path(__file__).parent.parent / "systemd"
UNITS = ("xpcam@.service", "xpcam.service")
MOST_EXPOSED = 3.0

systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze; run: sudo apt install systemd"
)


def analyze(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """systemd-analyze, with a runtime folder of its own and no colours."""
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(folder), "SYSTEMD_COLORS": "0", "LC_ALL": "C.UTF-8"}
    command = ("systemd-analyze", "--no-pager", *arguments)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def unit(name: str, folder: Path) -> Path:
    """The unit as it is installed here; an instance where it is a template."""
    path = folder / name.replace("@", "@studio")
    path.write_text(_unit(name, Path(sys.executable).with_name("xpcam")))
    return path


@systemd
@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_nothing_wrong(name: str, tmp_path: Path) -> None:
    scope = () if "@" in name else ("--user",)
    found = analyze(tmp_path, "verify", *scope, str(unit(name, tmp_path)))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


@systemd
def test_systemd_would_find_what_is_wrong(tmp_path: Path) -> None:
    path = unit("xpcam@.service", tmp_path)
    path.write_text(path.read_text().replace("Type=notify", "Tipe=notify"))
    assert "Tipe" in analyze(tmp_path, "verify", str(path)).stderr


@systemd
@pytest.mark.parametrize("name", UNITS)
def test_a_unit_is_hardly_exposed(name: str, tmp_path: Path) -> None:
    shown = analyze(tmp_path, "security", "--offline=1", str(unit(name, tmp_path))).stdout
    level = re.search(r"Overall exposure level for \S+: ([\d.]+)", shown)
    assert level is not None, shown
    assert float(level[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("name", UNITS)
def test_what_a_person_must_mend_is_not_tried_again(name: str, tmp_path: Path) -> None:
    text = unit(name, tmp_path).read_text()
    codes = f"{errors.SettingsError.exit_code} {errors.TargetError.exit_code}"
    assert f"\nRestartPreventExitStatus={codes}\n" in text
    assert "\nLimitCORE=0\n" in text  # a memory image holds camera pictures


@pytest.mark.parametrize("name", UNITS)
def test_a_keeper_outlives_a_restart_and_ends_with_a_stop(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = unit(name, tmp_path).read_text()
    assert "\nKillMode=process\n" in text
    assert "\nRuntimeDirectory=" in text
    assert "\nRuntimeDirectoryPreserve=restart\n" in text  # removed at a stop, and at nothing else
    one, kept = Instance("x", tmp_path), Settings(keep_output=True)
    assert daemon._keeping(kept, one, StandIn()) == Keeping(one.keeper, StandIn())
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "systemd"))
    held = daemon._keeping(kept, one, StandIn())
    assert held == Keeping(tmp_path / "systemd" / one.keeper.name, StandIn(), stays=daemon.RESTARTS)
    assert f"\nTimeoutStartSec={daemon.RESTARTS / 60:.0f}min\n" in text


def test_the_driver_is_loaded_as_the_rest_of_the_program_says() -> None:
    from xpcam.virtual_camera.v4l2 import MODPROBE

    options = (ROOT / "modprobe.d/xpcam.conf").read_text().splitlines()[-1].removeprefix("options ")
    assert f"sudo modprobe {options}" == MODPROBE
