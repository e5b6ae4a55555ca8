"""What every output can do."""

from typing import Protocol

from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer


class VirtualCamera(Protocol):
    """One open output; one thread at a time uses it.

    A virtual camera is listed by other programs once its first frame is written: write one at once.
    """

    @property
    def description(self) -> str:
        """One line for people: "Xpression Cam (/dev/video10), 1280x720 I420 at 30 fps"."""

    @property
    def watched(self) -> bool:
        """Whether somebody may be looking already, so that it shows the idling target at once; a recording
        waits for the first frame of the camera.
        """

    @property
    def fault(self) -> str:
        """Why it shows nothing now, in a line; "" while it works, or where that raises instead."""

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to the format of the output, in a buffer that the next call uses again.

        It may be empty where nobody looks, and costs nothing then.
        """

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        """Hand over what `convert` returned. Raises OutputError; then close, and open again later
        (`LastingCamera` does).

        `at` is when it is shown, in seconds from the beginning; a file follows it (None: the next frame
        of the file), a camera shows every frame at once.
        """

    def readers(self) -> int | None:
        """How many programs look at it, at least; 0 when nobody does, None where that cannot be known."""

    def close(self) -> None:
        """Give everything back; a second call does nothing. Raises OutputError (a file's end)."""
