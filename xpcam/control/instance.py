"""Where a run of a name has its socket, and that there is one run of each name.

A run holds the lock of its folder for as long as it lives; the system takes it away when the process dies. So
a socket without the lock is a dead run's, and is replaced.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from xpcam.errors import ControlError
from xpcam.file_lock import try_lock

SYSTEM: Final = Path("/run/xpcam")
LONGEST: Final = 107  # bytes of a socket's path, by the kernel
GLANCE: Final = 0.02  # seconds between two attempts at the lock
GLANCES: Final = 10  # after which it is another run that holds it


@dataclass(frozen=True, slots=True)
class Instance:
    """The runtime folder of one run.

    Attributes:
        name: what the run is called.
        folder: only its owner may enter it.
    """

    name: str
    folder: Path

    @property
    def socket(self) -> Path:
        return self.folder / "control.sock"

    @property
    def token(self) -> Path:
        """What a program must know to use the TCP port."""
        return self.folder / "token"

    @property
    def lock(self) -> Path:
        """Held by the run, with its process number inside."""
        return self.folder / "lock"

    @property
    def keeper(self) -> Path:
        """The socket of the process that holds the output (--keep-output)."""
        return self.folder / "keeper.sock"

    @property
    def launched(self) -> Path:
        """With what `start --detach` started it."""
        return self.folder / "launched.json"

    def pid(self) -> int | None:
        """The process of the run; None where none runs."""
        if not self.lock.exists():
            return None
        handle = try_lock(self.lock)
        if handle is not None:
            os.close(handle)
            return None
        text = self.lock.read_text(encoding="ascii").strip()
        return int(text) if text.isdecimal() else None


def places() -> tuple[Path, ...]:
    """Folders in which runs may have theirs, the user's own first."""
    own = os.environ.get("XDG_RUNTIME_DIR")
    user = os.geteuid() if hasattr(os, "geteuid") else 0
    temporary = Path(tempfile.gettempdir()) / f"xpcam-{user}"
    return (*((Path(own) / "xpcam",) if own else ()), SYSTEM, temporary)


def find(name: str) -> Instance:
    """The run of that name, wherever it has its folder; a place where none is, where there is none."""
    found = [Instance(name, place / name) for place in places()]
    return next((one for one in found if _lives(one)), found[0])


def running() -> list[Instance]:
    """All runs of this user, and of the system."""
    folders = [
        folder for place in places() if os.access(place, os.R_OK | os.X_OK) for folder in place.iterdir()
    ]
    found = [Instance(folder.name, folder) for folder in sorted(folders)]
    return [one for one in found if _lives(one)]


def _lives(one: Instance) -> bool:
    return os.access(one.folder, os.R_OK | os.W_OK | os.X_OK) and one.pid() is not None


@contextmanager
def claim(name: str) -> Iterator[Instance]:
    """Be the run of that name for as long as the context lasts.

    Raises:
        ControlError: one of that name runs already; or there is no safe place for a socket.
    """
    one = _new(name)
    handle = _locked(one)
    if handle is None:
        raise ControlError(
            f"an xpcam called {name!r} runs already (process {one.pid() or 'unknown'}): "
            f"use --name for a second one, or 'xpcam stop --name {name}'"
        )
    try:
        os.ftruncate(handle, 0)
        os.write(handle, str(os.getpid()).encode("ascii"))
        one.socket.unlink(missing_ok=True)  # of a run that died
        yield one
    finally:
        for left in (one.socket, one.token):
            left.unlink(missing_ok=True)
        os.close(handle)


def _locked(one: Instance) -> int | None:
    """The lock; None where another run holds it: who only asks whether one runs holds it for a moment."""
    for _ in range(GLANCES):
        if (handle := try_lock(one.lock)) is not None:
            return handle
        time.sleep(GLANCE)
    return None


def _new(name: str) -> Instance:
    """A folder that nobody else may enter."""
    own, given = os.environ.get("XDG_RUNTIME_DIR"), Path(os.environ.get("RUNTIME_DIRECTORY", "/"))
    if given == SYSTEM / name:  # systemd has made it for this run
        return Instance(name, given)
    for place in places():
        if place == SYSTEM and not own and not os.access(place if place.exists() else place.parent, os.W_OK):
            continue
        folder = place / name
        try:
            place.mkdir(mode=0o700, exist_ok=True)
            if place != SYSTEM:
                _own(place)
            folder.mkdir(mode=0o700, exist_ok=True)
            _own(folder)
        except OSError as error:
            raise ControlError(
                f"the runtime folder {folder} cannot be made ({error.strerror}): wanted one of this user's "
                "own; set XDG_RUNTIME_DIR, or use --no-control"
            ) from error
        if len(os.fsencode(folder / "control.sock")) > LONGEST:
            raise ControlError(
                f"the runtime folder {folder} has too long a name for a socket: wanted at most "
                f"{LONGEST - 13} bytes; set XDG_RUNTIME_DIR, or use --no-control"
            )
        return Instance(name, folder)
    raise AssertionError("the temporary folder is always there")


def _own(folder: Path) -> None:
    """Raises OSError where it is somebody else's; shuts it for others."""
    status = folder.lstat()
    if not folder.is_dir() or folder.is_symlink() or status.st_uid != os.geteuid():
        raise PermissionError(1, "it belongs to somebody else")
    if status.st_mode & 0o077:
        folder.chmod(0o700)
