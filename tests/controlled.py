"""A run over fakes that is steered: its gallery, its control, and what it shows."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import cv2
import numpy as np
from clips import Knowing
from faces import Replay, face, portrait, pose
from poison import SIZE, Recorder, prepared

from xpcam.camera.opening import Camera, Known
from xpcam.control.control import Control
from xpcam.errors import CameraError, OutputError
from xpcam.frame import FaceParams, Pixels
from xpcam.gallery import targets
from xpcam.gallery.store import Entry, Store, gallery_folder
from xpcam.live import Live
from xpcam.output_switch import Format, OutputSwitch
from xpcam.pipeline import Pipeline
from xpcam.progress import unseen
from xpcam.retargeting.retargeter import Gains
from xpcam.service.notify import Heartbeat
from xpcam.settings import Settings
from xpcam.steering import Steering
from xpcam.target_loader import TargetLoader
from xpcam.virtual_camera import VirtualCamera
from xpcam.wiring import Wiring

HERE = face(where=pose(at=(160, 110), scale=80))


class Sees(Knowing):
    """Finds the face that `picture` drew, where there is any light at all."""

    def __init__(self) -> None:
        super().__init__([])

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [HERE] if pixels.mean() > 20 else []


def picture(path: Path, shade: int) -> Path:
    """A portrait with a border of that grey: so it is known when it is on show."""
    pixels = portrait(HERE, SIZE)
    pixels[:, :20] = shade
    cv2.imwrite(str(path), pixels)
    return path


def shade(pixels: Pixels) -> int:
    return int(pixels[120, 5, 1])


def loader() -> TargetLoader:
    return TargetLoader(SIZE, lambda: nullcontext(Sees()), Store(gallery_folder()))


def kept(folder: Path, name: str, grey: int) -> Entry:
    """A target in the gallery."""
    made = picture(folder / f"{name}.png", grey)
    reader = lambda: nullcontext(Sees())  # noqa: E731
    return targets.add(Store(gallery_folder()), name, made, SIZE, Sees(), reader, unseen)


def opened(wanted: Format) -> VirtualCamera:
    """No output but "none"."""
    if wanted.spec != "none":
        raise OutputError(f"{wanted.spec!r} is no output: use none")
    return Recorder(wanted.size)


def no_camera(settings: Settings, *, wait: bool) -> Known:
    """There is none."""
    raise CameraError(f"no camera {settings.camera}; this machine has none" + " now" * wait)


def no_opening(settings: Settings, known: Known) -> Camera:
    """Nothing that was not found is opened."""
    raise AssertionError(settings.camera, known)


@contextmanager
def controlled(tracker: Replay | None = None) -> Iterator[Control]:
    """The control of a run whose frame loop stands still: the test makes its pictures."""
    settings = Settings(target=Path("face.png"), size=SIZE, output="none")
    pipeline = Pipeline(prepared(), tracker or Replay([face()]), Gains())
    steering = Steering(settings, pipeline.targets, loader(), pipeline.relearn)
    output, stop = OutputSwitch(opened, Format("none", SIZE, 30)), threading.Event()
    live = Live(settings, output, pipeline, Heartbeat(), stop)
    steering.connection = Wiring(settings, live, output, no_camera, no_opening)
    try:
        yield Control(live, pipeline, output, steering, Store(gallery_folder()), stop)
    finally:
        steering.close()
        pipeline.close()


def black(pixels: Pixels) -> bool:
    return float(np.mean(pixels)) < 20
