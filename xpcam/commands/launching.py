"""A run in the background: started, stopped, started again."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.errors import ControlError
from xpcam.virtual_camera.keeping import keep_for

STARTS: Final = 60.0  # seconds after which a run that still reads its target is left alone
STOPS: Final = 15.0  # seconds a run may take to close its camera and its files
LOOK: Final = 0.1  # seconds between two looks at it


def log_file(name: str) -> Path:
    """Where a run in the background writes its log: `$XDG_STATE_HOME/xpcam/NAME.log`."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "xpcam" / f"{name}.log"


def launch(name: str, arguments: Sequence[str], more: Sequence[str] = (), cwd: str | None = None) -> str:
    """Start a run in the background and wait until it can be asked; says what became of it.

    Args:
        name: of the run.
        arguments: of `xpcam start`; `restart` uses them again.
        more: further ones, for this time only.
        cwd: the folder that relative paths mean; None: this process's.

    Raises:
        ControlError: one of that name runs already; or it ended at once, for the reason given.
    """
    pid = instances.find(name).pid()
    if pid is not None:
        raise ControlError(
            f"an xpcam called {name!r} runs already (process {pid}): use --name for a second one, or "
            "'xpcam restart'"
        )
    log = log_file(name)
    # -P: a folder that happens to be here must not be imported in place of the program
    command = [sys.executable, "-P", "-m", "xpcam", "start", "--log-file", str(log), *arguments, *more]
    with _opened(log) as errors:
        begins = log.stat().st_size
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors, start_new_session=True, cwd=cwd
        )
    said = _wait(name, process)
    if process.poll() is not None:
        with log.open("rb") as file:
            file.seek(begins)
            lines = file.read().decode("utf-8", "replace").strip().splitlines()
        raise ControlError(f"{(lines or ['it ended'])[-1].removeprefix('xpcam: ')} (all of it: {log})")
    remember = {"pid": process.pid, "arguments": list(arguments), "cwd": cwd or str(Path.cwd())}
    place = instances.find(name).launched
    if place.parent.is_dir():
        place.write_text(json.dumps(remember), encoding="utf-8")
    return f"xpcam {name!r} {said} (process {process.pid}); log: {log}"


def _opened(log: Path) -> BinaryIO:
    """The log, to be written on. Raises ControlError."""
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return log.open("ab")
    except OSError as error:
        raise ControlError(
            f"the log {log} cannot be written ({error.strerror}): wanted a folder of this user's own; "
            "set XDG_STATE_HOME, or start without --detach"
        ) from error


def _wait(name: str, process: subprocess.Popen[bytes]) -> str:
    began = time.monotonic()
    while time.monotonic() - began < STARTS:
        if process.poll() is not None:
            return "ended"
        one = instances.find(name)
        if one.pid() == process.pid and one.socket.exists():
            return "runs"
        time.sleep(LOOK)
    return "is still reading its target"


def stop(name: str) -> None:
    """End a run and wait until it is gone.

    Raises:
        ControlError: none of that name runs; or it does not end.
    """
    client = Client(name)
    pid = client.instance.pid()
    try:
        client.ask("POST", "/stop")
    except ControlError:  # it is still starting
        if pid is not None:
            os.kill(pid, signal.SIGTERM)
    began = time.monotonic()
    while client.instance.pid() == pid:
        if time.monotonic() - began > STOPS:
            raise ControlError(
                f"xpcam {name!r} (process {pid}) does not end: see 'xpcam logs'; 'kill -9 {pid}' ends it, "
                "and a recording is left as .part"
            )
        time.sleep(LOOK)


def restart(name: str) -> str:
    """End a run and start it as before, with what was changed meanwhile.

    Raises:
        ControlError: none of that name runs, or something else started it; or it does not start again.
    """
    client = Client(name)
    before = _launched(client)
    more = changed(client.ask("GET", "/status"), client.ask("GET", "/settings"))
    keep_for(client.instance.keeper, STARTS)
    stop(name)
    return launch(name, before["arguments"], more, before["cwd"])


def _launched(client: Client) -> dict[str, Any]:
    try:
        said: dict[str, Any] = json.loads(client.instance.launched.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        said = {}
    if said.get("pid") != client.instance.pid():
        raise ControlError(
            "it was not started with --detach: restart it where it was started, a service with "
            "'systemctl --user restart'"
        )
    return said


def changed(status: Mapping[str, Any], settings: Mapping[str, Any]) -> list[str]:
    """The flags of `xpcam start` for what a run shows now."""
    flags = ["--target", str(status["target"])]
    for name, value in settings.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            flags.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            flags += [f"--{flag}", str(value)]
    if status["neutral"] not in ("automatic", "calibrated"):
        flags += ["--profile", str(status["neutral"])]
    return flags
