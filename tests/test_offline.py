"""Whole offline jobs, with a poisoned driver and a fake tracker."""

from pathlib import Path

import av
import numpy as np
import pytest
from faces import Replay
from poison import faces_and_gaps, poison_in, poisoned
from runs import blend_shapes, recorded, settings, wired

from xpcam import offline


def driver(path: Path, frames: int = 24) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for index in range(frames):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(poisoned(index, at=0.0).pixels, format="bgr24"))
            )
        container.mux(stream.encode(None))
    return path


def test_every_frame_of_a_driver_gives_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    clip = tmp_path / "out.mp4"
    with wired(monkeypatch, None, None, Replay(faces_and_gaps())):
        report = offline.render_video(
            settings(), driver(tmp_path / "d.mp4"), clip, lambda *done: told.append(done)
        )
    assert report.frames_generated == 24
    assert told[-1] == (24, 24)
    with av.open(str(clip)) as container:
        assert container.streams.video[0].average_rate == 24
    pictures = recorded(clip)
    assert len(pictures) == 24
    assert not any(poison_in(picture) for picture in pictures)


def test_tracking_a_video_says_something_of_every_frame(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with wired(monkeypatch, None, None, Replay(faces_and_gaps())):
        found = list(offline.track_video(settings(), driver(tmp_path / "d.mp4"), lambda *done: None))
    assert [params is None for _, params in found] == [params is None for params in faces_and_gaps()]
    assert [seconds for seconds, _ in found] == sorted(seconds for seconds, _ in found)


def test_blend_shapes_are_rendered_row_by_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = tmp_path / "out.mp4"
    with wired(monkeypatch, None, None, Replay([None])):
        report = offline.render_table(settings(), blend_shapes(tmp_path), clip, lambda *done: None)
    assert report.frames_published == 25
    pictures = recorded(clip)
    assert len(pictures) == 25
    assert (np.abs(pictures[12].astype(int) - pictures[0]).max(axis=2) > 30).sum() > 200
