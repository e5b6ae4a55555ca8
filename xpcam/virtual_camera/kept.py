"""An output that a process of its own holds (`keeper`): the run's end of the line."""

import contextlib
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.keeper_wire import Message, Pictures, packed, receive, send
from xpcam.virtual_camera.keeping import Keeping

PATIENCE: Final = 20.0  # seconds until a keeper has been started and has opened the output
LOOK: Final = 0.02  # seconds between two attempts to reach it
ENDS: Final = 3.0  # seconds it may take to give the output back
REFRESH: Final = 0.9  # seconds between two pictures while nobody reads
_NOTHING: Buffer = np.empty((0, 0), np.uint8)


class KeptCamera:
    """Hands pictures to the keeper, which is started where there is none.

    Attributes:
        description: one line for people.
        fault: what the keeper says of the output.
    """

    watched = True

    def __init__(
        self,
        spec: str,
        keeping: Keeping,
        *,
        size: tuple[int, int],
        fps: float,
        spawn: Callable[[Path], None] | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have the output opened; raises OutputError. `size` is (width, height)."""
        self._stand_in = keeping.stand_in
        self._now = now
        self._pictures = Pictures(size)
        self._free = list(range(len(self._pictures.slots)))
        self._slot: int | None = None
        self._readers: int | None = 0
        self._shown_at = -float("inf")
        self._left_with_it: tuple[bytes, ...] = ()
        self.fault = ""
        self.description = ""
        self._line: socket.socket | None = _reached(keeping.place, spawn or start_keeper)
        try:
            wanted = {"spec": spec, "size": list(size), "fps": fps}
            send(self._line, {"open": wanted}, self._pictures.handle)
            self._line.settimeout(PATIENCE)
            answer, _ = receive(self._line)
        except OSError as error:
            self._drop()
            raise _silent(error) from error
        if "opened" not in answer:
            self._drop()
            raise OutputError(answer["refused"]) if answer else _silent(None)
        self._line.setblocking(False)
        self.description = f"{answer['opened']}, kept through restarts"

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR into memory that the keeper has too; an empty buffer while nobody reads.

        Empty as well where the keeper has not yet shown what it got: the newest picture will come.
        """
        self._listen()
        self._slot = None
        if self._line is None:
            return pixels  # not empty: whoever writes it hears that the keeper is gone
        if not self._free or (self._readers == 0 and self._now() - self._shown_at < REFRESH):
            return _NOTHING
        self._slot = self._free.pop()
        picture = self._pictures.slots[self._slot]
        np.copyto(picture, pixels)
        return picture

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Show what `convert` took; `at` is not used. Raises OutputError where the keeper is gone."""
        self._listen()
        if self._line is None:
            raise OutputError("the process that holds the output is gone, it is started again")
        if not buffer.size or self._slot is None:
            return
        slot, self._slot = self._slot, None
        try:
            send(self._line, {"show": slot})
        except BlockingIOError:
            self._free.append(slot)
        except OSError as error:
            self._drop()
            raise _silent(error) from error
        self._shown_at = self._now()
        if self._left_with_it is not self._stand_in.pictures:
            self._leave_pictures()

    def readers(self) -> int | None:
        """How many programs read, at least, as the keeper says."""
        self._listen()
        return self._readers if self._line is not None else 0

    def close(self) -> None:
        """Have the output given back; a second call does nothing."""
        if self._line is None:
            return
        with contextlib.suppress(OSError):
            self._line.settimeout(ENDS)
            send(self._line, {"end": True})
            while receive(self._line)[0]:
                pass  # until it has ended, or goes on without this run
        self._drop()

    def _listen(self) -> None:
        """Take what the keeper has said."""
        while self._line is not None:
            try:
                said, _ = receive(self._line)
            except BlockingIOError:
                return
            except OSError:
                said = {}
            if said:
                self._take(said)
            else:
                self._drop()

    def _take(self, said: Message) -> None:
        self._readers, self.fault = said["readers"], said["fault"]
        self._free += said["free"]

    def _leave_pictures(self) -> None:
        """Give the keeper what it shows alone."""
        assert self._line is not None
        pictures = self._stand_in.pictures
        lengths, handle = packed(pictures)
        try:
            send(self._line, {"stand": lengths}, handle)
            self._left_with_it = pictures
        except BlockingIOError:
            pass  # with the next picture
        except OSError as error:
            self._drop()
            raise _silent(error) from error
        finally:
            os.close(handle)

    def _drop(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None
            self._pictures.close()


def start_keeper(place: Path) -> None:
    """Start a keeper that outlives this process; what it says goes where this process's words go."""
    nothing = (
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDWR, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_RDWR, 0),
    )
    program = (sys.executable, "-P", "-m", "xpcam.virtual_camera.keeper", str(place))
    os.posix_spawn(sys.executable, program, os.environ, setsid=True, file_actions=nothing)


def _reached(place: Path, spawn: Callable[[Path], None]) -> socket.socket:
    """A line to the keeper at `place`, which is started where none answers. Raises OutputError."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
    until, started = time.monotonic() + PATIENCE, False
    while True:
        try:
            line.connect(str(place))
        except OSError as error:
            if time.monotonic() > until:
                line.close()
                raise _silent(error) from error
        else:
            return line
        if not started:
            spawn(place)
            started = True
        time.sleep(LOOK)


def _silent(error: OSError | None) -> OutputError:
    reason = "it ended" if error is None else error.strerror or str(error)
    return OutputError(
        f"the process that holds the output does not answer ({reason}), one was wanted for --keep-output: "
        "see what it says in the log, or leave --keep-output out"
    )
