"""The output of a run, which may be changed while pictures go to it.

A reader keeps the format that it was given: drivers hold it for as long as somebody reads, a recording has
one size from its first picture to its last. So pictures of another size are fitted into what is held, and the
output itself follows when nobody looks. An output is replaced only by one that is open already; one that
cannot be opened is refused, and the old one goes on.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.target.still import fit
from xpcam.virtual_camera import Buffer, VirtualCamera
from xpcam.virtual_camera.lasting import LastingCamera

log = logging.getLogger(__name__)

FREE_FOR = 2.0  # seconds without a reader after which a format that was held gives way
_NOTHING: Buffer = np.empty((0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Format:
    """What an output is opened with.

    Attributes:
        spec: as `--output` names it.
        size: (width, height), pixels.
        fps: frames a second.
    """

    spec: str
    size: tuple[int, int]
    fps: float


Opener = Callable[[Format], VirtualCamera]
"""Opens an output. Raises OutputError."""


class OutputSwitch:
    """The output that a run has now. The frame loop's thread uses it, another one changes it.

    Args:
        opener: opens outputs.
        wanted: the first one. Raises OutputError.
        now: seconds, monotonic.
    """

    def __init__(self, opener: Opener, wanted: Format, *, now: Callable[[], float] = time.monotonic) -> None:
        self._opener = opener
        self._now = now
        self._wanted = self._held = self._refused = wanted
        self._read_at = now()
        self._camera = opener(wanted)
        self._converted: tuple[VirtualCamera, Buffer] | None = None
        self._zero: float | None = 0.0  # when, in the run's time, the output's own begins
        self._exchange = threading.Lock()  # held while a picture is handed over, or an output is exchanged
        self._changing = threading.Lock()  # held while one is closed and another opened

    @property
    def description(self) -> str:
        """That of the output; and what is fitted into it."""
        said = self._camera.description
        if self._wanted.size == self._held.size:
            return said
        width, height = self._wanted.size
        until = " until nobody reads" if self.watched else ""
        return f"{said}; pictures of {width}x{height} are fitted into it{until}"

    @property
    def watched(self) -> bool:
        """Whether somebody may be looking already."""
        return self._camera.watched

    @property
    def fault(self) -> str:
        """Why it shows nothing now; "" while it does."""
        return self._camera.fault

    def readers(self) -> int | None:
        """How many programs look; where nobody has for a while, the format that was asked for is taken."""
        count = self._count()
        if count != 0:
            self._read_at = self._now()
        elif self._wanted not in (self._held, self._refused) and self._now() - self._read_at >= FREE_FOR:
            self._settle()
        return count

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR of any size to the format of the output."""
        with self._exchange:
            camera, size = self._camera, self._held.size
            self._converted = camera, camera.convert(fitted(pixels, size))
            return self._converted[1]

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Show what was converted last, unless the output was exchanged since. Raises OutputError."""
        with self._exchange:
            if self._converted is None or self._converted[0] is not self._camera:
                return
            if self._zero is None:
                self._zero = at
            self._camera.write(self._converted[1], None if at is None else at - (self._zero or 0.0))

    def change(self, wanted: Format) -> None:
        """Show pictures there from now on.

        Raises OutputError: it cannot be opened; what there was goes on.
        """
        with self._changing:
            if wanted.spec != self._held.spec or wanted.spec == "none":
                self._replace(wanted)
            elif wanted != self._held and not self._is_read():
                self._reopen(wanted)
            self._wanted = wanted

    def close(self) -> None:
        """Give the output back. Raises OutputError (a file's end)."""
        self._camera.close()

    def _count(self) -> int | None:
        with self._exchange:
            return self._camera.readers()

    def _is_read(self) -> bool:
        """Whether somebody holds the format."""
        return not self.watched or self._count() != 0

    def _settle(self) -> None:
        """Let the output have the format that was asked for while somebody held another."""
        if not self._changing.acquire(blocking=False):
            return
        try:
            if self._wanted.spec == self._held.spec and not self._is_read():
                self._reopen(self._wanted)
        except OutputError as error:
            log.warning("the output keeps its format: %s", error)
            self._refused = self._wanted
        finally:
            self._changing.release()

    def _replace(self, wanted: Format) -> None:
        """Open the other one beside this, then exchange them."""
        try:
            camera = self._opener(wanted)
        except OutputError:
            if self._is_read():
                raise
            self._reopen(wanted)  # it may be the same device under another name
            return
        self._give_back(self._exchanged(camera, wanted))

    def _reopen(self, wanted: Format) -> None:
        """Close this one first: a device has one writer. Nobody reads, so nobody misses it."""
        before, held = self._camera, self._held
        self._give_back(self._exchanged(Absent(before.description), held))
        try:
            self._exchanged(self._opener(wanted), wanted)
        except OutputError:
            self._exchanged(self._as_before(before.description, held), held)
            raise

    def _as_before(self, description: str, held: Format) -> VirtualCamera:
        """What there was, opened again, now or as soon as it can be."""
        try:
            return self._opener(held)
        except OutputError as error:
            gone = Absent(description, str(error))
            return LastingCamera(lambda: gone, again=lambda: self._opener(held))

    def _exchanged(self, camera: VirtualCamera, held: Format) -> VirtualCamera:
        """The camera that this one replaces."""
        with self._exchange:
            before, self._camera, self._held, self._zero = self._camera, camera, held, None
        return before

    def _give_back(self, camera: VirtualCamera) -> None:
        try:
            camera.close()
        except OutputError as error:
            log.warning("%s", error)


class Absent:
    """No output for the moment: shows nothing, and nobody reads it.

    Args:
        description: of the one that was there.
        why: it does not come back at once; what is written to it raises this. "" where it does.
    """

    watched = True
    fault = ""

    def __init__(self, description: str, why: str = "") -> None:
        self.description = description
        self._why = why

    def readers(self) -> int | None:
        return 0

    def convert(self, pixels: Pixels) -> Buffer:
        """An empty buffer; of one that is lost the picture, so that `write` is called."""
        return pixels if self._why else _NOTHING

    def write(self, _buffer: Buffer, _at: float | None = None, /) -> None:
        if self._why:
            raise OutputError(self._why)

    def close(self) -> None:
        pass


def fitted(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """A picture in (width, height): as it is, scaled, or where the shape differs within a blur of itself."""
    height, width = pixels.shape[:2]
    if (width, height) == size:
        return pixels
    if width * size[1] == height * size[0]:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    return fit(pixels, size)[0]
