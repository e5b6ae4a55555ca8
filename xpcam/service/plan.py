"""What installing the service means on this machine: which files, and which commands after them."""

import os
import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from xpcam.errors import SettingsError
from xpcam.resources import shipped

Scope = Literal["user", "system"]
Command = tuple[str, ...]

_PACKAGED: Final = "/usr/bin/xpcam"  # where the units expect the program
_SYSTEM_FILES: Final = {
    "xpcam@.service": "etc/systemd/system/xpcam@.service",
    "xpcam.rules": "etc/udev/rules.d/60-xpcam.rules",
    "modprobe.conf": "etc/modprobe.d/xpcam.conf",
    "modules-load.conf": "etc/modules-load.d/xpcam.conf",
}


@dataclass(frozen=True, slots=True)
class File:
    """A file of the service: where it belongs, and what it says."""

    place: Path
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that installing and uninstalling does.

    Attributes:
        scope: for this user, or for the machine.
        unit: the unit that runs, such as "xpcam@studio.service".
        config: the settings that it reads; a person writes them.
        files: what is written, in order.
        shared: other units use the files too: they stay while one of those does.
        start, stop: commands after writing, and before removing.
        forget: commands after removing.
    """

    scope: Scope
    unit: str
    config: Path
    files: tuple[File, ...]
    start: tuple[Command, ...]
    stop: tuple[Command, ...]
    forget: tuple[Command, ...]

    @property
    def systemctl(self) -> Command:
        return ("systemctl", "--user") if self.scope == "user" else ("systemctl",)


def user_plan(program: Path, config: Path, units: Path) -> Plan:
    """The unit of this user's desktop; `units` is the folder of its units."""
    control: Command = ("systemctl", "--user")
    return Plan(
        "user",
        "xpcam.service",
        config,
        (File(units / "xpcam.service", _unit("xpcam.service", program)),),
        (
            (*control, "daemon-reload"),
            (*control, "enable", "xpcam.service"),
            (*control, "restart", "xpcam.service"),
        ),
        ((*control, "disable", "--now", "xpcam.service"),),
        ((*control, "daemon-reload"),),
    )


def system_plan(program: Path, name: str, root: Path = Path("/")) -> Plan:
    """The unit of one camera of the machine, with the loopback device that it writes to.

    Raises:
        SettingsError: the name is none for a unit, or the program is where no service may read it.
    """
    if not re.fullmatch(r"[A-Za-z0-9_]{1,40}", name):
        raise SettingsError(
            f"--name: found {name!r}, wanted 1 to 40 letters, digits and underscores; choose another"
        )
    _check_reachable(program)
    unit = f"xpcam@{name}.service"
    texts = {source: _unit(source, program) for source in _SYSTEM_FILES}
    return Plan(
        "system",
        unit,
        root / "etc/xpcam" / f"{name}.toml",
        tuple(File(root / place, texts[source]) for source, place in _SYSTEM_FILES.items()),
        (
            ("udevadm", "control", "--reload"),
            ("modprobe", "v4l2loopback"),
            ("udevadm", "trigger", "--settle", "--subsystem-match=video4linux"),
            ("systemctl", "daemon-reload"),
            ("systemctl", "enable", unit),
            ("systemctl", "restart", unit),
        ),
        (("systemctl", "disable", "--now", unit),),
        (("systemctl", "daemon-reload"), ("udevadm", "control", "--reload")),
    )


def this_program() -> Path:
    """The `xpcam` that runs, or the one beside the interpreter that does."""
    called = Path(sys.argv[0])
    return (
        called.absolute()
        if called.name == "xpcam" and called.is_file()
        else Path(sys.executable).with_name("xpcam")
    )


def units_of_user() -> Path:
    """The folder of this user's own units."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "systemd" / "user"


def as_root(program: Path, arguments: tuple[str, ...]) -> str:
    """What to type to run `xpcam` with these arguments as root."""
    return shlex.join(("sudo", str(program), *arguments))


def _unit(name: str, program: Path) -> str:
    text = shipped(f"systemd/{name}").read_text(encoding="utf-8")
    return text.replace(_PACKAGED, _word(program))


def _word(program: Path) -> str:
    """A path as ExecStart= takes it (systemd.service(5), command lines)."""
    escaped = str(program)
    for plain, said in (("\\", "\\\\"), ('"', '\\"'), ("%", "%%"), ("$", "$$")):
        escaped = escaped.replace(plain, said)
    return f'"{escaped}"' if re.search(r"[\s'\"]", escaped) else escaped


def _check_reachable(program: Path) -> None:
    """Raises SettingsError where a service, being another user, could not read the program or its Python."""
    homes = (Path("/home"), Path("/root"), Path.home())
    for needed in (program, Path(sys.executable).resolve()):
        closed = next((folder for folder in needed.parents if not folder.stat().st_mode & 0o001), None)
        at_home = next((home for home in homes if home in needed.parents and home != Path("/")), None)
        if closed or at_home:
            raise SettingsError(
                f"{needed} is in {at_home or closed}, which a service may not read: wanted an installation "
                "for all; run sudo /usr/bin/python3 -m venv /opt/xpcam, then sudo /opt/xpcam/bin/pip install "
                "xpcam, then sudo /opt/xpcam/bin/xpcam service install --system"
            )
