"""What the running daemon tells systemd, by the protocol of sd_notify(3), without its library.

Nothing is sent, and nothing costs, where no service manager asked for it.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from pathlib import Path

SAID_EVERY = 10.0  # seconds between two STATUS lines
FED = 4  # a watchdog is fed this often in the time it allows

log = logging.getLogger(__name__)


def folder_of_service(environment: Mapping[str, str] = os.environ) -> Path | None:
    """The folder that systemd keeps while this service is started again, and removes when it is stopped.

    None where this is no service, or none that has such a folder (RuntimeDirectory).
    """
    given = environment.get("RUNTIME_DIRECTORY", "")
    return Path(given) if given and environment.get("NOTIFY_SOCKET") else None


Send = Callable[[str], None]
"""Hands one message to the service manager."""


class Heartbeat:
    """Readiness, watchdog and status of the frame loop. One thread uses it.

    The watchdog is fed by `beat` alone, so that a loop that hangs is seen, whatever other threads do.
    """

    def __init__(
        self,
        environment: Mapping[str, str] = os.environ,
        *,
        send: Send | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._send = send or _sender(environment.get("NOTIFY_SOCKET", ""))
        self._now = now
        allowed = _watchdog_seconds(environment)
        self._feed_every = allowed / FED if allowed else float("inf")
        self._fed = self._said = now()
        self._counted = (0, 0)
        self._ready = False

    def beat(self, generated: int, published: int, faults: Callable[[], Mapping[str, str]] = dict) -> None:
        """The frame loop has come round once more, having made and shown so many pictures. Cheap.

        `faults` says what does not work now, a line for each part; it is asked every `SAID_EVERY` seconds.

        The first beat with a picture on the output says that the service is ready.
        """
        if self._send is None or not (self._ready or published):
            return
        now, message = self._now(), ""
        if not self._ready:
            self._ready, message = True, "READY=1\nSTATUS=the first picture is on the output\n"
        if message or now - self._fed >= self._feed_every:
            self._fed = now
            message += "WATCHDOG=1\n"
        if now - self._said >= SAID_EVERY:
            ill = "".join(f"; {part}: {fault}" for part, fault in faults().items())
            message += f"STATUS={self._rates(generated, published, now - self._said)}{ill}\n"
            self._said, self._counted = now, (generated, published)
        if message:
            self._send(message)

    def _rates(self, generated: int, published: int, seconds: float) -> str:
        before = self._counted if published >= self._counted[1] else (0, 0)  # counting began anew
        new, shown = (
            (now - then) / seconds for now, then in zip((generated, published), before, strict=True)
        )
        return f"{shown:.1f} pictures a second on the output, {new:.1f} of them new"

    def stopping(self) -> None:
        """The loop has ended; what follows is closing."""
        if self._send is not None:
            self._send("STOPPING=1\nSTATUS=stopping\n")


def _sender(place: str) -> Send | None:
    """How to reach the manager at $NOTIFY_SOCKET; None where there is none."""
    if not place or not hasattr(socket, "AF_UNIX"):
        return None
    address = "\0" + place[1:] if place.startswith("@") else place  # @: the abstract name space

    def send(message: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as line:
                line.setblocking(False)  # a full queue of the manager must not hold up a picture
                line.sendto(message.encode(), address)
        except OSError as error:
            log.debug("the service manager was not told %r (%s)", message, error.strerror)

    return send


def _watchdog_seconds(environment: Mapping[str, str]) -> float:
    """The time a watchdog allows between two beats, in seconds; 0 where none watches this process."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    pid = environment.get("WATCHDOG_PID", "")
    mine = not pid or pid == str(os.getpid())
    return int(microseconds) / 1e6 if microseconds.isdecimal() and mine else 0.0
