"""`xpcam start` as an emulated machine can run it: everything real but the engines.

The tracker sees a swaying face whatever the camera shows, and fails at SIGHUP as an engine does. The target
is a folder of two drawn faces. SIGWINCH has the time of the camera's frame drawn into each picture, and again
that it is not.
"""

import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import time_code

sys.path.insert(0, str(Path(__file__).parent.parent))

from clips import SIZE, swaying
from faces import face, portrait, pose

from xpcam import builders
from xpcam.cli import main
from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.pipeline import Pipeline
from xpcam.rendering.renderer import Look
from xpcam.settings import Settings
from xpcam.steering import look_of

HERE = face(where=pose(at=(160, 110), scale=80))
SWAYING = swaying(40)

fail, stamped = threading.Event(), threading.Event()
draw = Pipeline.step


class Tracker:
    """Sees the same whatever it is shown."""

    def track(self, frame: Frame) -> FaceParams | None:
        if fail.is_set():
            fail.clear()
            raise EngineError("the graphics driver was reset")
        return SWAYING[frame.sequence % len(SWAYING)]

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [HERE]

    def reset(self) -> None:
        pass


@contextmanager
def open_tracker(settings: Settings, **patience: int) -> Iterator[Tracker]:
    yield Tracker()


def open_look(settings: Settings, _stack: ExitStack) -> Look:
    return look_of(settings)  # without the mouth's engine


def step(pipeline: Pipeline, frame: Frame | None, at: float) -> Pixels:
    """The picture of the real pipeline, with the frame's time code where that is wanted."""
    pixels = draw(pipeline, frame, at)
    if frame is None or not stamped.is_set():
        return pixels
    return time_code.stamped(pixels, frame.captured_at)


def toggle(_number: int, _frame: object) -> None:
    stamped.clear() if stamped.is_set() else stamped.set()


def draw_targets(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    drawn = portrait(HERE, SIZE)
    cv2.imwrite(str(folder / "first.png"), drawn)
    cv2.imwrite(str(folder / "second.png"), 255 - drawn)


def begin(arguments: Sequence[str]) -> None:
    """Be `xpcam` with these arguments."""
    sys.argv[1:] = arguments
    draw_targets(Path(arguments[arguments.index("--target") + 1]))
    signal.signal(signal.SIGHUP, lambda _number, _frame: fail.set())
    signal.signal(signal.SIGWINCH, toggle)
    setattr(Pipeline, "step", step)  # noqa: B010 - mypy takes an assignment for a method with two selves
    setattr(builders, "open_tracker", open_tracker)  # noqa: B010 - mypy knows that it is another one
    setattr(builders, "open_look", open_look)  # noqa: B010 - the same
    main()


if __name__ == "__main__":
    begin(sys.argv[1:])
