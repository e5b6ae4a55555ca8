"""What `xpcam doctor --fix` does: only what needs no root and loses nothing."""

import shutil
from collections.abc import Callable, Sequence
from typing import Final

from xpcam.doctor.facts import Facts
from xpcam.doctor.finding import Finding
from xpcam.errors import ServiceError
from xpcam.service.install import run_command

Fix = Callable[[Facts], str]
"""Mends one thing and says what was done; raises ServiceError or OSError where it does not work."""


def mend(findings: Sequence[Finding], facts: Facts) -> list[str]:
    """One line for each thing that was mended, or that was tried."""
    done = []
    for finding in findings:
        if not finding.fix:
            continue
        try:
            done.append(f"{finding.check}: {FIXES[finding.fix](facts)}")
        except (ServiceError, OSError) as error:
            done.append(f"{finding.check}: could not be mended ({error})")
    return done


def _start_pipewire(_facts: Facts) -> str:
    run_command(("systemctl", "--user", "start", "pipewire", "wireplumber"))
    return "started PipeWire"


def _empty_clips(facts: Facts) -> str:
    place = facts.cache.path / "clips"
    size = sum(path.stat().st_size for path in place.glob("*.npz"))
    shutil.rmtree(place, ignore_errors=True)
    return f"removed prepared clips, {size / 1e6:.0f} MB; they are made anew when needed"


def _make_runtime_folder(facts: Facts) -> str:
    if facts.runtime is None:
        return "there is none"
    facts.runtime.path.mkdir(mode=0o700, exist_ok=True)
    facts.runtime.path.chmod(0o700)
    return f"{facts.runtime.path} has mode 700"


FIXES: Final[dict[str, Fix]] = {
    "pipewire": _start_pipewire,
    "clips": _empty_clips,
    "runtime": _make_runtime_folder,
}
