"""Whole runs over fakes: how they are wired, what they are given, and what they recorded."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from faces import Replay
from poison import SIZE, prepared

from xpcam import builders, daemon, offline, target_loader
from xpcam.camera.opening import Known, Machine
from xpcam.frame import Pixels
from xpcam.settings import Settings
from xpcam.tracking.live_link import timecode


@contextmanager
def wired(monkeypatch: pytest.MonkeyPatch, camera: object, output: object, tracker: Replay) -> Iterator[None]:
    """Runs of the program meet these instead of a camera, an output and a tracker with its engines."""
    for module in (builders, offline):
        monkeypatch.setattr(module, "open_tracker", lambda settings, **patience: nullcontext(tracker))
    monkeypatch.setattr(target_loader, "load_target", lambda *_: prepared())
    if output is not None:
        monkeypatch.setattr(daemon, "open_output", lambda *args, **named: output)

    def open_camera(*args: object, **named: object) -> object:
        if isinstance(camera, Exception):
            raise camera
        return camera

    monkeypatch.setattr(daemon, "check_camera", lambda spec, **_: Known(spec, Machine()))
    monkeypatch.setattr(daemon, "open_camera", open_camera)
    yield


def settings(**values: Any) -> Settings:
    """Settings of a run that needs nothing."""
    return Settings(
        **{"target": Path("face.png"), "size": SIZE, "fps": 60, "output": "none", "governor": False, **values}
    )


def recorded(clip: Path) -> list[Pixels]:
    """Every picture of a video, BGR."""
    with av.open(str(clip)) as container:
        frames = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


def blend_shapes(folder: Path) -> Path:
    """A second at 25 rows a second in which a jaw opens and shuts."""
    path = folder / "take.csv"
    rows = (f"{timecode(i / 25)},1,{np.sin(np.pi * i / 25):.4f}" for i in range(25))
    path.write_text("\n".join(["Timecode,BlendShapeCount,JawOpen", *rows]), encoding="utf-8")
    return path
