"""Says once that no face is seen, and why that may be."""

import logging

from xpcam.frame import FaceParams, Frame

AFTER = 1.0  # seconds without a face
DARK = 25.0  # mean brightness of a picture, of 255, below which no face can be expected
EVERY = 16  # of so many rows and columns one counts

log = logging.getLogger(__name__)


class Absence:
    """Watches whether frames show a face; of a frame only its mean brightness is read.

    Attributes:
        fault: why nobody is followed, in a line; "" while somebody is, or nothing is known.
    """

    def __init__(self) -> None:
        self.fault = ""
        self._since: float | None = None

    def see(self, frame: Frame, person: FaceParams | None) -> None:
        """This is what was found in a frame."""
        if person is not None:
            if self.fault:
                log.info("a face is seen again")
            self.forget()
            return
        if self._since is None:
            self._since = frame.captured_at
        if frame.captured_at - self._since >= AFTER:
            self._say(_reason(frame))

    def forget(self) -> None:
        """There are no frames to judge from, or all is well."""
        self.fault, self._since = "", None

    def _say(self, reason: str) -> None:
        if reason != self.fault:
            log.info("%s; the target idles", reason)
        self.fault = reason


def _reason(frame: Frame) -> str:
    if float(frame.pixels[::EVERY, ::EVERY].mean()) < DARK:
        return "the picture is too dark for a face to be seen: switch on a light"
    return "no face is seen: sit in front of the camera"
