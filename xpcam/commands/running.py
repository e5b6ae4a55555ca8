"""stop, restart, status, logs, set, calibrate: what is asked of a run."""

import contextlib
import json
import time
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from xpcam.camera.spec import home_resolved
from xpcam.errors import ControlError, SettingsError

Name = Annotated[str, typer.Option("--name", help="which run, where there are several", metavar="NAME")]
DEFAULT: Final = "default"
READING: Final = 300.0  # seconds that reading a clip may take
FOLLOWED: Final = 0.25  # seconds between two looks at a log


def stop(name: Name = DEFAULT) -> None:
    """End a run: its camera and files are closed properly."""
    from xpcam.commands import launching

    launching.stop(name)
    print(f"xpcam {name!r} has ended")


def restart(name: Name = DEFAULT) -> None:
    """End a run started with --detach and start it again, with what was changed meanwhile."""
    from xpcam.commands import launching

    print(launching.restart(name))


def status(
    name: Name = DEFAULT,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of lines")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="follow it, until Ctrl-C")] = False,
) -> None:
    """Say how a run is: rates, latency, drops, readers, devices of the engines."""
    from xpcam.commands import watching
    from xpcam.control.client import Client

    client = Client(name)

    def look() -> dict[str, Any]:
        seen: dict[str, Any] = client.ask("GET", "/status")
        return seen

    if watch:
        with contextlib.suppress(KeyboardInterrupt):
            watching.watch(look)
    elif as_json:
        print(json.dumps(look(), indent=2))
    else:
        print(watching.lines(look()))


def logs(
    name: Name = DEFAULT,
    count: Annotated[int, typer.Option("--lines", help="how many of the last lines", min=0)] = 50,
    follow: Annotated[bool, typer.Option("--follow", help="go on with what comes, until Ctrl-C")] = False,
) -> None:
    """Show the log of a run that was started with --detach."""
    from xpcam.commands import launching

    log = launching.log_file(name)
    if not log.is_file():
        raise ControlError(
            f"there is no log {log}: wanted a run started with --detach; a service's is shown by "
            "'journalctl --user -t xpcam'"
        )
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for line in lines[len(lines) - min(count, len(lines)) :]:
        print(line)
    with contextlib.suppress(KeyboardInterrupt):
        _follow(log, follow)


def _follow(log: Path, follow: bool) -> None:
    place = log.stat().st_size
    while follow:
        if log.stat().st_size < place:  # a new file has been begun
            place = 0
        with log.open("rb") as file:
            file.seek(place)
            fresh = file.read()
        place += len(fresh)
        print(fresh.decode("utf-8", "replace"), end="", flush=True)
        time.sleep(FOLLOWED)


def change(
    values: Annotated[list[str], typer.Argument(help="NAME=VALUE, such as mouth=1.3 or mirror=true")],
    name: Name = DEFAULT,
) -> None:
    """Change settings of a run, all at once.

    mouth, eyes, brows, head, gaze, mirror, relight, interior, transfer; size, fps, camera, output. What
    cannot be is refused, and nothing changes. A program that looks keeps the size that it was given.
    """
    from xpcam.control.client import Client

    wanted = dict(map(_pair, values))
    now = Client(name).ask("PATCH", "/settings", wanted, patience=READING)  # a clip of another size is read
    print(", ".join(f"{key}={_said(value)}" for key, value in now.items()))


def _pair(text: str) -> tuple[str, object]:
    key, equals, value = text.partition("=")
    if not equals:
        raise SettingsError(f"{text!r} is no setting: wanted NAME=VALUE, such as mouth=1.3")
    if key in ("camera", "output"):
        return key, absolute_place(value)
    try:
        return key, json.loads(value)
    except ValueError:
        return key, value


def absolute_place(text: str) -> str:
    """A camera or an output as the run, which may live in another folder, understands it."""
    path = home_resolved(text)
    named = path.suffix.lower() in (".mp4", ".mkv", ".mov") and "://" not in text
    return str(path.absolute()) if named or (path.is_file() and not text.isdecimal()) else text


def _said(value: object) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def calibrate(
    name: Name = DEFAULT,
    profile: Annotated[str | None, typer.Option(help="keep it, for 'xpcam start --profile NAME'")] = None,
    seconds: Annotated[float, typer.Option(help="how long to look", min=1, max=10)] = 2.0,
    countdown: Annotated[int, typer.Option(help="seconds until it begins", min=0, max=60)] = 3,
    automatic: Annotated[bool, typer.Option("--automatic", help="go back to learning it by itself")] = False,
) -> None:
    """Take your neutral face now: look at the camera, mouth closed, relaxed."""
    from xpcam.control.client import PATIENCE, Client

    client = Client(name)
    if automatic:
        client.ask("POST", "/neutral/relearn")
        print("your neutral face is learned by itself again")
        return
    for left in range(countdown, 0, -1):
        print(f"look at the camera, mouth closed, relaxed: {left}", flush=True)
        time.sleep(1.0)
    print("hold still", flush=True)
    wanted = {"seconds": seconds, "profile": profile}
    answer = client.ask("POST", "/neutral/calibrate", wanted, patience=PATIENCE + seconds)
    for part, found in answer["quality"].items():
        verdict = "good" if found["good"] else f"poor: {found['advice']}, and calibrate again"
        print(f"{part:<9}{found['value']:6.1f} {found['unit']}: {verdict}")
    print(f"kept as profile {profile}" if profile else "taken; --profile NAME keeps it for the next start")
