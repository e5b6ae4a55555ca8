"""A camera whose pictures have a colour that no target has, and an output that keeps what it is given."""

import time
from collections.abc import Callable

import numpy as np
from faces import face, portrait, pose

from xpcam.errors import OutputError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.target import still as target
from xpcam.target.still import Target
from xpcam.virtual_camera import NoCamera

POISON = (255, 0, 255)  # BGR; no target of these tests has a colour near it
SIZE = (320, 240)


def prepared() -> Target:
    params = face(where=pose(at=(320, 220), scale=150))
    return target.prepare(portrait(params), params, SIZE)


def poisoned(sequence: int, at: float | None = None) -> Frame:
    pixels = np.full((240, 320, 3), POISON, np.uint8)
    return Frame(pixels, sequence, time.monotonic() if at is None else at)


def poison_in(pixels: Pixels) -> int:
    """Pixels of the person's colour, however softly blended in."""
    blue, green, red = (pixels[..., i].astype(int) for i in range(3))
    return int(((np.minimum(blue, red) - green) > 90).sum())


class PoisonedCamera:
    """Delivers frames of one colour, stops for a while, and may end."""

    description = "poison"
    dropped = 0
    fault = ""
    shareable = False

    def __init__(self, delivers: Callable[[int], bool], frames: int) -> None:
        self._delivers = delivers
        self._frames = frames
        self._calls = 0
        self.live = True
        self.closed = False

    @property
    def finished(self) -> bool:
        return self._calls >= self._frames

    def latest(self, timeout: float) -> Frame | None:
        self._calls += 1
        if self.finished or not self._delivers(self._calls):
            time.sleep(timeout)
            return None
        return poisoned(self._calls)

    def close(self) -> None:
        self.closed = True


class Recorder(NoCamera):
    """An output that keeps everything it was given."""

    def __init__(self, size: tuple[int, int] = SIZE, *, fails_after: int = 10**9) -> None:
        super().__init__(size=size, fps=30)
        self.seen: list[Pixels] = []
        self.closed = False
        self._fails_after = fails_after

    def convert(self, pixels: Pixels) -> np.ndarray:
        self.seen.append(pixels.copy())
        return super().convert(pixels)

    def write(self, buffer: np.ndarray, at: float | None = None) -> None:
        if len(self.seen) > self._fails_after:
            raise OutputError("the device is gone; start again")

    def close(self) -> None:
        self.closed = True


def faces_and_gaps() -> list[FaceParams | None]:
    talking: list[FaceParams | None] = [face({"jawOpen": 0.3 * (index % 3)}) for index in range(10)]
    return [*talking, None, None, None, *talking, None]
