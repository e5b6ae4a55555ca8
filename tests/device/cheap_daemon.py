"""`xpcam start` as an emulated machine can run it: everything real but the engines.

The tracker sees a swaying face whatever the camera shows, and fails at SIGHUP as an engine does. The target
is a folder of two drawn faces.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2

sys.path.insert(0, str(Path(__file__).parent.parent))

from clips import SIZE, swaying
from faces import face, portrait, pose

from xpcam import builders
from xpcam.cli import main
from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.settings import Settings

HERE = face(where=pose(at=(160, 110), scale=80))
SWAYING = swaying(40)

fail = threading.Event()


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


def draw_targets(folder: Path) -> None:
    folder.mkdir()
    drawn = portrait(HERE, SIZE)
    cv2.imwrite(str(folder / "first.png"), drawn)
    cv2.imwrite(str(folder / "second.png"), 255 - drawn)


if __name__ == "__main__":
    draw_targets(Path(sys.argv[sys.argv.index("--target") + 1]))
    signal.signal(signal.SIGHUP, lambda _number, _frame: fail.set())
    setattr(builders, "open_tracker", open_tracker)  # noqa: B010 - mypy knows that it is another one
    main()
