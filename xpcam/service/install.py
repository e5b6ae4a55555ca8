"""Carries a plan out: installs, uninstalls, and says how the service is."""

import shlex
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from xpcam.errors import ServiceError, SettingsError
from xpcam.service import written
from xpcam.service.plan import Command, File, Plan
from xpcam.service.written import State

PATIENCE = 400.0  # seconds for a command: a service may take five minutes until its first picture

Run = Callable[[Command], str]
"""Runs a command and gives what it printed; raises ServiceError where it fails or is not there."""
Say = Callable[[str], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Status:
    """How the service is: systemd's words for active and enabled, and each file's state."""

    unit: str
    active: str
    enabled: str
    files: tuple[tuple[Path, State], ...]

    def __str__(self) -> str:
        lines = [f"{self.unit}: {self.active}, {self.enabled}"]
        return "\n".join(lines + [f"{place}: {state.value}" for place, state in self.files])


def install(plan: Plan, say: Say, *, dry: bool = False, force: bool = False, run: Run | None = None) -> None:
    """Write the plan's files and start its unit; doing it again changes nothing. `dry`: say so only.

    Everything is checked before anything is written.

    Raises:
        SettingsError: there are no settings for the service, or a file in the way is somebody else's.
        ServiceError: a file cannot be written, or a command fails.
    """
    states = {file: _state(file) for file in plan.files}
    lost = [file.place for file, state in states.items() if state.in_the_way]
    if lost and not force and not dry:
        raise SettingsError(
            f"{', '.join(map(str, lost))} was not written by this command, or changed since: wanted a place "
            "that is free; look at it, then move it away, or use --force, which keeps it beside the new one"
        )
    if not plan.config.is_file() and not dry:
        raise SettingsError(
            f"the service has no settings: wanted {plan.config} with at least a line "
            f"'target = \"/path/to/face.png\"'; write it, then install again"
        )
    for file, state in states.items():
        for line in _put(file, state, dry, force):
            say(line)
    _run_all(plan.start, say, dry, run or run_command)


def uninstall(plan: Plan, say: Say, *, dry: bool = False, run: Run | None = None) -> None:
    """Stop the unit and remove the files that were written for it; others stay, and are named.

    Raises:
        ServiceError: a file cannot be removed, or a command fails.
    """
    states = {file: _state(file) for file in plan.files}
    if all(state is State.ABSENT for state in states.values()):
        say("nothing is installed")
        return
    runner = run or run_command
    if states[plan.files[0]] is not State.ABSENT:
        _run_all(plan.stop, say, dry, runner)
    others = [] if dry else _other_units(plan, runner)
    if others:
        say(f"the files stay: {', '.join(others)} use them")
        return
    for file, state in states.items():
        if state.ours:
            say(f"remove {file.place}")
            if not dry:
                _refusing(file.place, file.place.unlink)
        elif state is not State.ABSENT:
            say(f"keep {file.place}: {state.value}")
    _run_all(plan.forget, say, dry, runner)


def status(plan: Plan, run: Run | None = None) -> Status:
    """How the service is. Raises ServiceError where systemd does not answer."""
    runner = run or run_command
    shown = runner((*plan.systemctl, "show", "--property=ActiveState,UnitFileState,StatusText", plan.unit))
    facts = dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)
    active = facts.get("ActiveState") or "unknown"
    if facts.get("StatusText"):
        active += f" ({facts['StatusText']})"
    files = tuple((file.place, _state(file)) for file in plan.files)
    return Status(plan.unit, active, facts.get("UnitFileState") or "not enabled", files)


def run_command(command: Command) -> str:
    """What a command printed. Raises ServiceError where it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=PATIENCE)
    except FileNotFoundError as error:
        raise ServiceError(
            f"there is no {command[0]}, a Linux with systemd was wanted: install it, or run xpcam start"
        ) from error
    except subprocess.TimeoutExpired as error:
        raise ServiceError(
            f"'{shlex.join(command)}' took longer than {PATIENCE:.0f} s: run it by hand"
        ) from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise ServiceError(
            f"'{shlex.join(command)}' ended with {done.returncode} ({said or 'no message'}), 0 was wanted: "
            "see what it says, then do it again"
        )
    return done.stdout


def _put(file: File, state: State, dry: bool, force: bool) -> Iterator[str]:
    """Write one file where that is needed; yields what is done."""
    if state is State.CURRENT:
        yield f"keep {file.place}: it is up to date"
    elif state is State.EQUAL:
        yield f"keep {file.place}: {state.value}"
    elif state.in_the_way and not force:  # a dry run: the real one refuses
        yield f"STOP at {file.place}: {state.value}; --force would keep it beside the new one"
    else:
        if state.in_the_way:
            kept = "another name" if dry else _refusing(file.place, lambda: written.set_aside(file.place))
            yield f"move {file.place} ({state.value}) to {kept}"
        if not dry:
            _refusing(file.place, lambda: written.write(file.place, file.text))
        yield f"write {file.place}"
        if dry:
            yield from (f"    {line}" for line in written.marked(file.text).splitlines())


def _state(file: File) -> State:
    return _refusing(file.place, lambda: written.state(file.place, file.text))


def _refusing(place: Path, act: Callable[[], T]) -> T:
    """What `act` gives; an OSError becomes a ServiceError that names the place."""
    try:
        return act()
    except OSError as error:
        raise ServiceError(
            f"{place} cannot be read or written ({error.strerror}): wanted the right to; check its folder"
        ) from error


def _other_units(plan: Plan, run: Run) -> list[str]:
    """Units of other cameras that live on the same files."""
    if plan.scope == "user":
        return []
    listed = run((*plan.systemctl, "list-units", "--all", "--plain", "--no-legend", "xpcam@*.service"))
    names = [line.split()[0] for line in listed.splitlines() if line.split()]
    return [name for name in names if name != plan.unit]


def _run_all(commands: tuple[Command, ...], say: Say, dry: bool, run: Run) -> None:
    for command in commands:
        say(f"run {shlex.join(command)}")
        if not dry:
            run(command)
