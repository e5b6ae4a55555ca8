"""Whole runs, with a poisoned camera and a fake tracker: what they show, and how they end."""

import time
from pathlib import Path

import numpy as np
import pytest
from faces import Replay, face
from poison import PoisonedCamera, Recorder, faces_and_gaps, poison_in
from runs import blend_shapes, recorded, settings, wired

from xpcam import daemon
from xpcam.errors import CameraError, OutputError, SettingsError
from xpcam.frame import Frame


def test_a_live_run_shows_the_target_before_and_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = PoisonedCamera(lambda n: not 30 <= n < 75, frames=110)
    output = Recorder()
    with wired(monkeypatch, camera, output, Replay(faces_and_gaps())):
        report = daemon.run_live(settings())
    assert camera.closed
    assert output.closed
    assert not any(poison_in(pixels) for pixels in output.seen)
    assert report.frames_generated >= 60
    assert len(output.seen) > report.frames_generated  # idle pictures while the camera was gone
    stopped = [pixels.tobytes() for pixels in output.seen[60:75]]
    assert len(set(stopped)) > 3  # the target goes on idling


def test_a_camera_that_is_not_there_is_an_error_and_only_the_target_was_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = Recorder()
    with wired(monkeypatch, CameraError("no camera"), output, Replay([None])), pytest.raises(CameraError):
        daemon.run_live(settings())
    assert len(output.seen) == 1
    assert poison_in(output.seen[0]) == 0
    assert output.closed


def test_a_run_of_few_frames_waits_for_what_its_camera_says(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_args: object, **_named: object) -> None:
        time.sleep(0.4)  # ten idle pictures and more
        raise CameraError("no sound is a camera")

    with wired(monkeypatch, CameraError("no camera"), Recorder(), Replay([None])):
        monkeypatch.setattr(daemon, "open_camera", refused)
        with pytest.raises(CameraError, match="no sound is a camera"):
            daemon.run_live(settings(frames=2))


def test_no_contact_sheet_of_a_webcam_that_has_the_name_of_a_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "HD Webcam").touch()  # what the settings take for a driver video
    camera = PoisonedCamera(lambda n: True, frames=10**6)
    wanted = settings(camera=str(tmp_path / "HD Webcam"), contact_sheet=tmp_path / "s.png", frames=5)
    with (
        wired(monkeypatch, camera, Recorder(), Replay([face()])),
        pytest.raises(SettingsError, match="found camera poison: wanted --camera demo or a video file"),
    ):
        daemon.run_live(wanted)
    assert camera.closed
    assert not (tmp_path / "s.png").exists()


class BrokenOff(PoisonedCamera):
    """A file that breaks off after some frames."""

    finished = False

    def latest(self, timeout: float) -> Frame | None:
        if self._calls == self._frames:
            raise CameraError("clip.mp4 breaks off after 5 frames")
        return super().latest(timeout)


def test_a_driver_video_that_breaks_off_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    camera, output = BrokenOff(lambda n: True, frames=5), Recorder()
    with wired(monkeypatch, camera, output, Replay([face()])), pytest.raises(CameraError, match="breaks off"):
        daemon.run_live(settings())
    assert camera.closed
    assert output.closed


def test_an_output_that_breaks_ends_the_run_and_frees_the_camera(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = PoisonedCamera(lambda n: True, frames=1000)
    with (
        wired(monkeypatch, camera, Recorder(fails_after=10), Replay([face()])),
        pytest.raises(OutputError, match="gone"),
    ):
        daemon.run_live(settings())
    assert camera.closed


def test_seconds_and_frames_end_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    output = Recorder()
    with wired(monkeypatch, PoisonedCamera(lambda n: True, frames=10**6), output, Replay([face()])):
        report = daemon.run_live(settings(frames=12))
    assert report.frames_published == 12
    with wired(monkeypatch, PoisonedCamera(lambda n: True, frames=10**6), Recorder(), Replay([face()])):
        assert daemon.run_live(settings(seconds=0.5)).seconds >= 0.4


def test_the_recording_holds_no_pixel_of_the_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    clip = tmp_path / "out.mp4"
    camera = PoisonedCamera(lambda n: n % 7 < 5, frames=60)
    with wired(monkeypatch, camera, None, Replay(faces_and_gaps())):
        daemon.run_live(settings(output=str(clip)))
    pictures = recorded(clip)
    assert len(pictures) >= 40
    assert not any(poison_in(picture) for picture in pictures)


def test_a_file_of_blend_shapes_is_played_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table = blend_shapes(tmp_path)
    output = Recorder()
    with wired(monkeypatch, CameraError("no camera is opened"), output, Replay([None])):
        report = daemon.run_live(settings(camera=f"csv:{table}", loop=False))
    assert 4 < report.frames_generated == len(output.seen) <= 61  # of one second
    assert output.closed
    moved = [np.abs(pixels.astype(int) - output.seen[0]).max(axis=2) for pixels in output.seen]
    assert max((change > 30).sum() for change in moved) > 200


def test_a_file_of_blend_shapes_goes_round_until_stopped(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    table = blend_shapes(tmp_path)
    with wired(monkeypatch, None, Recorder(), Replay([None])):
        report = daemon.run_live(settings(camera=f"csv:{table}", frames=90))
    assert report.frames_published == 90


def test_a_broken_file_of_blend_shapes_opens_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    output = Recorder()
    with wired(monkeypatch, None, output, Replay([None])), pytest.raises(CameraError, match="No such file"):
        daemon.run_live(settings(camera=f"csv:{tmp_path / 'none.csv'}"))
    assert output.seen == []
