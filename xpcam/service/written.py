"""Files that this program writes outside of its own folders: marked, so that nobody else's is lost.

The first line of each says who wrote it, with a hash of the rest: a file without it, or with another hash, is
somebody else's, or was changed by hand.
"""

import hashlib
import os
import tempfile
from enum import Enum
from pathlib import Path
from typing import Final

_MARK: Final = "# Written by 'xpcam service install', sha256 "


class State(Enum):
    """What is at the place of a file of ours."""

    ABSENT = "absent"
    CURRENT = "as written"
    OLDER = "of another version"
    EQUAL = "somebody else's, with the same lines"
    CHANGED = "changed by hand"
    FOREIGN = "somebody else's"

    @property
    def ours(self) -> bool:
        """It may be written over and removed."""
        return self in (State.CURRENT, State.OLDER)

    @property
    def in_the_way(self) -> bool:
        """Something of a person would be lost."""
        return self in (State.CHANGED, State.FOREIGN)


def marked(text: str) -> str:
    """The text as it is written."""
    return f"{_MARK}{_digest(text)}\n{text}"


def state(place: Path, text: str) -> State:
    """What is at `place`, where `text` belongs. Raises OSError where it cannot be read."""
    if not place.exists():
        return State.ABSENT
    found = place.read_text(encoding="utf-8", errors="replace")
    first, _, rest = found.partition("\n")
    if not first.startswith(_MARK):
        return State.EQUAL if _lines(found) == _lines(text) else State.FOREIGN
    if first != f"{_MARK}{_digest(rest)}":
        return State.CHANGED
    return State.CURRENT if rest == text else State.OLDER


def write(place: Path, text: str) -> None:
    """Put the marked text at `place`, whole or not at all, readable by all. Raises OSError."""
    place.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".xpcam")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(marked(text))
            os.fchmod(file.fileno(), 0o644)
        Path(name).replace(place)
    finally:
        Path(name).unlink(missing_ok=True)


def set_aside(place: Path) -> Path:
    """Keep a file under another name; gives that name. Raises OSError."""
    number = 1
    while (kept := place.with_name(f"{place.name}.before-xpcam-{number}")).exists():
        number += 1
    return place.rename(kept)


def _lines(text: str) -> list[str]:
    """What counts: no comments, no empty lines."""
    stripped = (line.strip() for line in text.splitlines())
    return [line for line in stripped if line and not line.startswith("#")]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
