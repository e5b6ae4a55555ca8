"""What a run knows of the process that holds its output for it (`keeper`); here on every system."""

import contextlib
import json
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

HEARD: Final = 5.0  # seconds a keeper may take to hear


@dataclass
class StandIn:
    """Pictures of the idling target (JPEG), for the keeper to show alone; any thread puts new ones here."""

    pictures: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Keeping:
    """That the output is to be held by a keeper.

    Attributes:
        place: its socket, in a folder that only this user may enter.
        stand_in: what it shows alone.
        stays: seconds for which it waits for another run when this one ends; it ends with its socket, too.
    """

    place: Path
    stand_in: StandIn = field(default_factory=StandIn)
    stays: float = 0.0


def keep_for(place: Path, seconds: float) -> None:
    """Have the keeper at `place`, if there is one, wait for another run when this one ends in that time."""
    _tell(place, {"stay": seconds})


def dismiss(place: Path) -> None:
    """Have a keeper that waits for a run which died give the output back; one that has a run goes on."""
    _tell(place, {"end": True})


def _tell(place: Path, message: dict[str, float]) -> None:
    if not place.exists():
        return
    with (
        contextlib.suppress(OSError),  # a keeper that was killed left its socket
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as line,
    ):
        line.settimeout(HEARD)
        line.connect(str(place))
        line.send(json.dumps(message).encode())
        line.recv(1)  # it has heard: it hangs up
