"""A small process that holds an output while the run that fills it is started again, killed, or hangs.

    python -m xpcam.virtual_camera.keeper SOCKET        `--keep-output` starts it

Readers of a camera are told nothing good when its writer goes: v4l2loopback fails them, at once (0.12.7) or
after 10 s (0.15.0), and PipeWire leaves them frozen for ever. So the output belongs to this process, which
does next to nothing and so has few reasons to end. It shows what the run sends; where nothing comes for
`GAP` seconds it shows the target, idling, from pictures that the run has left with it. It never gets to see a
picture of the camera.
"""

import logging
import os
import selectors
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.service import journal
from xpcam.virtual_camera import VirtualCamera, open_output
from xpcam.virtual_camera.keeper_wire import Message, Pictures, receive, send, unpacked

LINGER: Final = 30.0  # seconds for which a run that died is waited for
GAP: Final = 0.3  # seconds without a picture after which its own are shown; longer below 10 frames a second
FADE: Final = 0.3  # seconds from the run's pictures to its own, and back
BEGUN: Final = 0.25  # how much of the new one the first picture of a fade has: it is never the last again
STAND_FPS: Final = 10  # of its own pictures
LOOK: Final = 0.05  # seconds between two looks for a reader

log = logging.getLogger(__name__)


class Opener(Protocol):
    """`open_output`, or a fake."""

    def __call__(self, spec: str, /, *, size: tuple[int, int], fps: float) -> VirtualCamera: ...


class Keeper:
    """Holds one output for one run at a time, whoever connected last.

    Args:
        listening: a bound SOCK_SEQPACKET socket.
        opener: opens outputs.
        now: seconds, monotonic.
    """

    def __init__(
        self,
        listening: socket.socket,
        opener: Opener = open_output,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._listening = listening
        self._place = Path(listening.getsockname())
        self._opener = opener
        self._now = now
        self._selector = selectors.DefaultSelector()
        self._selector.register(listening, selectors.EVENT_READ)
        self._run: socket.socket | None = None
        self._pictures: Pictures | None = None
        self._output: VirtualCamera | None = None
        self._opened_as: Message = {}
        self._stand: list[bytes] = []
        self._screen = Screen()
        self._on_show = -1
        self._told: Message = {}
        self._gap = GAP
        self._came_at = self._stood_at = self._left_at = now()
        self._stay_until = -float("inf")
        self._over = False

    def serve(self) -> None:
        """Hold the output until it is given back, or nobody has come for `LINGER` seconds."""
        try:
            while not self.over:
                self.step(LOOK)
        finally:
            self.close()

    @property
    def over(self) -> bool:
        """Whether nobody needs it any more; at a stop systemd removes its folder, and its socket with it."""
        until = max(self._left_at + LINGER, self._stay_until)
        return self._over or (self._run is None and (self._now() > until or not self._place.exists()))

    def step(self, seconds: float) -> None:
        """Do what is to be done, waiting for it that long at most."""
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._listening:
                line, _ = self._listening.accept()
                line.setblocking(False)
                self._selector.register(line, selectors.EVENT_READ)
            elif isinstance(key.fileobj, socket.socket):
                self._hear(key.fileobj)
        self._stand_in()
        self._report([])

    def close(self) -> None:
        """Give everything back, the output first: who waits for that is told by the end of its line."""
        self._close_output()
        self._place.unlink(missing_ok=True)
        for key in list(self._selector.get_map().values()):
            if isinstance(key.fileobj, socket.socket):
                key.fileobj.close()
        self._selector.close()

    def _hear(self, line: socket.socket) -> None:
        """Everything that has come on a line."""
        while not self._over and line.fileno() >= 0:
            try:
                message, handle = receive(line)
            except BlockingIOError:
                return
            except OSError:
                message, handle = {}, None
            if message:
                self._do(line, message, handle)
            else:
                self._drop(line, "has gone without a word")

    def _drop(self, line: socket.socket, how: str) -> None:
        self._selector.unregister(line)
        line.close()
        if line is self._run:
            log.warning("the run %s: the target idles until it is back, for %.0f s at most", how, LINGER)
            self._run, self._left_at, self._came_at = None, self._now(), -float("inf")

    def _do(self, line: socket.socket, message: Message, handle: int | None) -> None:
        if "open" in message and handle is not None:
            self._open(line, message["open"], handle)
        elif "show" in message and line is self._run:
            self._show(message["show"])
        elif "stand" in message and handle is not None:
            self._stand = unpacked(message["stand"], handle)
        elif "stay" in message:
            self._stay_until = self._now() + message["stay"]
            self._drop(line, "")
        elif "end" in message and line is self._run and self._now() < self._stay_until:
            self._drop(line, "is started again")
        elif "end" in message and (line is self._run or self._run is None):
            self._over = True
        else:
            self._drop(line, "speaks another language")

    def _open(self, line: socket.socket, wanted: Message, handle: int) -> None:
        """Work for the run on that line from now on."""
        size = (wanted["size"][0], wanted["size"][1])
        pictures = Pictures(size, handle)
        os.close(handle)
        if wanted != self._opened_as or self._output is None:
            self._close_output()
            try:
                self._output = self._opener(wanted["spec"], size=size, fps=wanted["fps"])
            except OutputError as error:
                send(line, {"refused": str(error)})
                self._over = True
                return
            self._opened_as, self._screen = wanted, Screen()
        self._run, self._pictures, self._on_show = line, pictures, -1
        self._stay_until = -float("inf")
        self._gap = max(GAP, 3 / wanted["fps"])
        self._told = {}
        send(line, {"opened": self._output.description})
        log.info("holding %s", self._output.description)

    def _show(self, slot: int) -> None:
        """A picture of the run; the one before it may be written over then."""
        assert self._pictures is not None
        self._came_at = self._now()
        self._put(self._pictures.slots[slot], live=True)
        freed, self._on_show = self._on_show, slot
        self._report([freed] if freed >= 0 else [])

    def _stand_in(self) -> None:
        """A picture of its own, where it is time for one."""
        now = self._now()
        if self._output is None or not self._stand or now - self._came_at < self._gap:
            return
        if now - self._stood_at < (1.0 if self._output.readers() == 0 else 1 / STAND_FPS):
            return
        self._stood_at = now
        self._put(_forth_and_back(self._stand, round(now * STAND_FPS)), live=False)

    def _put(self, picture: Pixels, *, live: bool) -> None:
        assert self._output is not None
        shown = self._screen.next(picture, live, self._now())
        self._output.write(self._output.convert(shown))

    def _report(self, free: list[int]) -> None:
        """Tell the run what has changed."""
        if self._run is None or self._output is None:
            return
        state: Message = {"readers": self._output.readers(), "fault": self._output.fault}
        if not free and state == self._told:
            return
        try:
            send(self._run, {**state, "free": free})
            self._told = state
        except OSError:  # it hangs; its end is seen where it is read
            self._told = {}

    def _close_output(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


class Screen:
    """What is on show; fades where the run's pictures follow its own, and the other way round."""

    def __init__(self) -> None:
        self._shown: Pixels | None = None
        self._before: Pixels | None = None
        self._live = True
        self._turned_at = -float("inf")

    def next(self, picture: Pixels, live: bool, now: float) -> Pixels:
        """The picture to show for this one; it stays as it is until the next call."""
        same_size = self._shown is not None and self._shown.shape == picture.shape
        if live is not self._live:
            self._before = self._shown.copy() if self._shown is not None and same_size else None
            self._live, self._turned_at = live, now - BEGUN * FADE
        share = (now - self._turned_at) / FADE
        if self._before is not None and share < 1:
            picture = np.asarray(cv2.addWeighted(self._before, 1 - share, picture, share, 0), np.uint8)
        else:
            self._before = None
        self._shown = picture
        return picture


def _forth_and_back(pictures: list[bytes], step: int) -> Pixels:
    """The picture of that step, so that the last and the first never meet."""
    last = len(pictures) - 1
    place = step % (2 * last) if last else 0
    jpeg = np.frombuffer(pictures[min(place, 2 * last - place)], np.uint8)
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def main(place: Path) -> None:
    """Listen at `place` and serve."""
    os.chdir("/")
    Path("/proc/self/comm").write_text("xpcam-keeper", encoding="ascii")  # 'xpcam devices' names who holds it
    journal.begin("info")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC) as listening:
        place.unlink(missing_ok=True)
        listening.bind(str(place))
        listening.listen()
        Keeper(listening).serve()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
