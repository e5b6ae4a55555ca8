"""The machines of `make test-device`, played by a script: what a failure, or an end, leaves behind."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or not shutil.which("setpriv"), reason="Debian's tools are wanted"
)

HERE = Path(__file__).with_name("device")
PATIENCE = 30.0
QEMU = """#!/bin/sh
case "$*" in
*version=good*) echo "  first: a"; echo GUEST_RC=0 ;;
*version=bad*) echo "  first: a"; while [ ! -e "$FOLDER/pid" ]; do sleep 0.1; done; echo GUEST_RC=1 ;;
*version=long*) echo "  first: a"; echo $$ >"$FOLDER/new"; mv "$FOLDER/new" "$FOLDER/pid"; exec sleep 600 ;;
esac
"""
SCRIPT = """set -euo pipefail
cache=$FOLDER kernel=1 python=python checks=all
. "$HERE/machines.sh"
run_machines "$@"
"""


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    qemu = tmp_path / "qemu-system-x86_64"
    qemu.write_text(QEMU)
    qemu.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "FOLDER": str(tmp_path),
        "HERE": str(HERE),
    }
    started = []

    def start(*versions: str) -> "subprocess.Popen[str]":
        # A shell cannot trap what was ignored when it began, as SIGINT is in a job of the background.
        command = ("env", "--default-signal=INT", "bash", "-c", SCRIPT, "run.sh", *versions)
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        started.append(child)
        return child

    yield start
    for child in started:
        child.kill()
        child.communicate()


def machine(folder: Path) -> int:
    """The process of the machine that runs for long."""
    wait_for((folder / "pid").exists)
    return int((folder / "pid").read_text())


def wait_for(true: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.02)


def ended(pid: int) -> bool:
    """Whether a process is gone, or waits for nothing but to be buried."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_machines_that_pass(run: Callable[..., "subprocess.Popen[str]"]) -> None:
    child = run("good-1", "good-2")
    said, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 0
    lines = {
        f"{version} | {line}" for version in ("good-1", "good-2") for line in ("  first: a", "GUEST_RC=0")
    }
    assert set(said.splitlines()) == lines


def test_one_that_fails_ends_the_other(run: Callable[..., "subprocess.Popen[str]"], tmp_path: Path) -> None:
    child = run("long", "bad")
    said, _ = child.communicate(timeout=PATIENCE)
    assert child.returncode == 1
    assert "FAILED with v4l2loopback bad" in said.splitlines()
    assert ended(machine(tmp_path))
    assert (tmp_path / "guest-long.log").read_text().endswith("ENDED\n")
    assert "ENDED" not in (tmp_path / "guest-bad.log").read_text()


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_machine_outlives_its_run(
    run: Callable[..., "subprocess.Popen[str]"], tmp_path: Path, sent: signal.Signals
) -> None:
    child = run("long")
    pid = machine(tmp_path)
    assert not ended(pid)
    child.send_signal(sent)
    child.wait(PATIENCE)
    assert child.returncode in (130, 143, -signal.SIGKILL)
    wait_for(lambda: ended(pid))
