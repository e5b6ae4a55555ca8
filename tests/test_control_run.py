"""A whole run that is steered over its socket: what its reader sees, and who may reach it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from buried import buried
from controlled import HERE, black, kept, loader, picture, shade
from faces import Replay, face
from poison import PoisonedCamera, Recorder, poison_in
from runs import settings, wired

from xpcam import builders, daemon
from xpcam.commands import launching, running, watching
from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.errors import ControlError, SettingsError
from xpcam.settings import Settings

PATIENCE = 30.0


def until(holds: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)


@contextmanager
def run(monkeypatch: pytest.MonkeyPatch, output: Recorder, **values: object) -> Iterator[Client]:
    """A run in a thread, and a client of it."""
    camera = PoisonedCamera(lambda n: True, frames=10**9)
    wanted = settings(fps=30, **values)
    failed: list[BaseException] = []

    def live() -> None:
        try:
            daemon.run_live(wanted)
        except ControlError as error:
            failed.append(error)

    with wired(monkeypatch, camera, output, Replay([face({"jawOpen": 0.3 * (n % 3)}) for n in range(9)])):
        monkeypatch.setattr(builders, "open_loader", lambda _: loader())
        thread = threading.Thread(target=live)
        thread.start()
        try:
            until(lambda: bool(failed) or instances.find(wanted.name).socket.exists())
            assert not failed
            yield Client(wanted.name)
        finally:
            if not failed:
                launching.stop(wanted.name)
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return picture(tmp_path / "first.png", 70)


def test_fifty_changes_while_a_reader_watches(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, target: Path
) -> None:
    greys = {"anna": 40, "bert": 200}
    for name, grey in greys.items():
        kept(tmp_path, name, grey)
    output = Recorder()
    with run(monkeypatch, output, target=target) as client:
        for number in range(50):
            if number % 7 == 3:  # a bad one in between changes nothing
                before = client.ask("GET", "/status")["target"]
                with pytest.raises(ControlError, match="no target 'nobody' in the gallery"):
                    client.ask("PUT", "/target", {"target": "nobody"})
                assert client.ask("GET", "/status")["target"] == before
            client.ask("POST", "/target/next")
            if number % 10 == 0:
                client.ask("PATCH", "/settings", {"mirror": number % 20 == 0, "relight": number % 20 == 0})
            count = len(output.seen)
            until(lambda count=count: len(output.seen) > count + 1)  # type: ignore[misc]
        status = client.ask("GET", "/status")
    seen = [shade(pixels) for pixels in output.seen]
    assert not any(black(pixels) or poison_in(pixels) for pixels in output.seen)
    wanted = {seen[0], *greys.values()}
    assert all(min(abs(one - grey) for grey in wanted) <= 3 for one in seen)  # none half changed
    changes = sum(abs(one - other) > 10 for one, other in pairwise(seen))
    assert changes == 50
    assert 0 < status["frames"]["published"] <= len(seen)


def test_only_its_owner_can_reach_a_run(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    with run(monkeypatch, Recorder(), target=target, control_port=free_port()) as client:
        one = client.instance
        until(one.token.exists)
        modes = [stat.S_IMODE(path.stat().st_mode) for path in (one.folder, one.socket, one.token, one.lock)]
        assert modes == [0o700, 0o600, 0o600, 0o600]
        assert one.pid() == os.getpid()
        assert [found.name for found in instances.running()] == ["default"]
    assert not one.socket.exists()
    assert not one.token.exists()
    assert one.pid() is None


def free_port() -> int:
    with socket.socket() as line:
        line.bind(("127.0.0.1", 0))
        return int(line.getsockname()[1])


def test_a_second_run_of_a_name_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    with run(monkeypatch, Recorder(), target=target):
        with pytest.raises(ControlError, match=r"'default' runs already \(process \d+\): use --name"):
            daemon.run_live(settings())
        with pytest.raises(ControlError, match="runs already"):
            launching.launch("default", [])


def test_two_runs_of_two_names(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    one, other = Recorder(), Recorder()
    with (
        run(monkeypatch, one, target=target) as first,
        run(monkeypatch, other, target=target, name="two") as second,
    ):
        first.ask("PATCH", "/settings", {"mouth": 0.5})
        assert second.ask("GET", "/settings")["mouth"] == 1.0
        assert second.ask("GET", "/status")["name"] == "two"
        assert [found.name for found in instances.running()] == ["default", "two"]
        until(lambda: len(one.seen) > 3 and len(other.seen) > 3)
        with pytest.raises(ControlError, match="no xpcam called 'three' runs .running: default, two."):
            Client("three")


def test_the_socket_of_a_dead_run_is_replaced() -> None:
    with instances.claim("default") as one:
        folder = one.folder
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(folder / "control.sock"))
    (folder / "lock").write_text("1")  # and a process number that is somebody else's now
    assert instances.find("default").pid() is None
    with instances.claim("default") as one:
        assert not one.socket.exists()
        assert one.pid() == os.getpid()
        with pytest.raises(ControlError, match="runs already"), instances.claim("default"):
            pytest.fail("two of one name")


def test_a_runtime_folder_of_somebody_else_is_not_used(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (runtime_folder / "elsewhere").mkdir()
    (runtime_folder / "xpcam").symlink_to(runtime_folder / "elsewhere")
    with pytest.raises(ControlError, match="belongs to somebody else"), instances.claim("default"):
        pytest.fail("it was used")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_folder / ("x" * 100)))
    (runtime_folder / ("x" * 100)).mkdir()
    with pytest.raises(ControlError, match="too long a name"), instances.claim("default"):
        pytest.fail("it was used")


def test_a_service_takes_the_folder_that_systemd_made_for_it(
    runtime_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(instances, "SYSTEM", runtime_folder / "system")
    (runtime_folder / "system" / "studio").mkdir(parents=True)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(runtime_folder / "system" / "studio"))
    with instances.claim("studio") as one:
        assert one.folder == runtime_folder / "system" / "studio"
        assert instances.find("studio") == one  # also for who does not know that variable
    with instances.claim("other") as one:
        assert one.folder == runtime_folder / "xpcam" / "other"


def test_what_was_changed_holds_after_a_restart() -> None:
    status = {"target": "anna", "neutral": "me"}
    flags = launching.changed(status, {"mouth": 1.5, "mirror": False, "relight": True, "interior": "dark"})
    assert flags == (
        [
            "--target",
            "anna",
            "--mouth",
            "1.5",
            "--no-mirror",
            "--relight",
            "--interior",
            "dark",
            "--profile",
            "me",
        ]
    )


def test_a_setting_is_written_as_a_pair() -> None:
    assert dict(map(running._pair, ["mouth=1.3", "mirror=true", "interior=dark"])) == {
        "mouth": 1.3,
        "mirror": True,
        "interior": "dark",
    }
    with pytest.raises(SettingsError, match="wanted NAME=VALUE"):
        running._pair("mouth")


def xpcam(*arguments: str, code: int = 0) -> str:
    """What the command says; it must end with that code."""
    ended = subprocess.run(
        [sys.executable, "-m", "xpcam", *arguments], capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == code, ended.stderr
    assert code == 0 or ended.stderr.count("\n") == 1
    return ended.stdout + ended.stderr


def studio_portrait() -> str:
    import openpeople

    return str(openpeople.curated.get("P009").asset_path("studio_portrait"))


def test_a_run_in_the_background_from_the_command_line() -> None:
    assert "no xpcam called 'default' runs" in xpcam("status", code=8)
    assert "anna: still" in xpcam("target", "add", studio_portrait(), "--as", "anna")
    begin = ("start", "--target", "anna", "--camera", "demo", "--output", "none", "--size", "320x240")
    assert "no such file" in xpcam(*begin, "--target", "nobody", "--detach", code=8)
    with buried():
        assert "'default' runs" in xpcam(*begin, "--detach")
        status = json.loads(xpcam("status", "--json"))
        assert status["engines"] == {"face_params": "cpu", "face_detector": "cpu", "mouth": "cpu"}
        assert status["refused"].keys() == status["engines"].keys()
        assert status["target"] == "anna"
        assert "mirror=true" in xpcam("set", "mirror=true", "mouth=0.5")
        assert "found '9', wanted a number from 0 to 2" in xpcam("set", "mouth=9", code=8)
        assert "on show: anna" in xpcam("target", "next")
        assert "state" in xpcam("status")
        assert "'default' runs" in xpcam("restart")
        again = json.loads(xpcam("status", "--json"))
        assert again["pid"] != status["pid"]
        assert Client("default").ask("GET", "/settings")["mouth"] == 0.5
        assert "camera: demo" in xpcam("logs") or "output: no output" in xpcam("logs")
        assert "has ended" in xpcam("stop")
    assert "no xpcam" in xpcam("stop", code=8)


def test_a_run_in_the_background_ends_with_the_test_that_started_it() -> None:
    starts = (
        "import sys; from buried import buried; from test_control_run import xpcam\n"
        "with buried(): xpcam(*sys.argv[1:]); print('started', flush=True); sys.stdin.read()"
    )
    begin = ("start", "--target", studio_portrait(), "--camera", "demo", "--output", "none", "--detach")
    with subprocess.Popen(
        (sys.executable, "-c", starts, *begin),
        cwd=Path(__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    ) as test:
        assert test.stdout is not None
        assert test.stdout.readline() == b"started\n"
        pid = instances.find("default").pid()
        assert pid is not None
        os.killpg(test.pid, signal.SIGKILL)
    until(lambda: instances.find("default").pid() is None)


def test_the_view_that_follows_a_run(monkeypatch: pytest.MonkeyPatch, target: Path) -> None:
    from io import StringIO

    from rich.console import Console

    shown = StringIO()
    with run(monkeypatch, Recorder(), target=target) as client:
        console = Console(file=shown, width=120, force_terminal=False)
        watching.watch(lambda: dict(client.ask("GET", "/status")), console, times=2)
    assert "generated" in shown.getvalue()
    assert "published" in shown.getvalue()
    assert Settings().name in shown.getvalue()


def test_the_face_of_these_targets_is_where_it_is_drawn() -> None:
    assert HERE.landmarks[:, :2].min() > 20
