import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from faces import Replay, face, portrait, pose

from xpcam import daemon, target
from xpcam.errors import CameraError, EngineError, OutputError, SettingsError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.pipeline import STAGES, Meter, Pipeline, publish
from xpcam.retargeting import Gains
from xpcam.settings import Settings
from xpcam.target import Target
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


class Failing(Replay):
    """Tracks nothing: its engine breaks at some frames."""

    def __init__(self, breaks: Callable[[int], bool]) -> None:
        super().__init__([face({"jawOpen": 0.4})])
        self._breaks = breaks

    def track(self, frame: Frame) -> FaceParams | None:
        if self._breaks(frame.sequence):
            raise EngineError("engine face_params failed: out of memory")
        return super().track(frame)


class PoisonedCamera:
    """Delivers frames of one colour, stops for a while, and may end."""

    description = "poison"
    dropped = 0
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

    def __init__(self, fails_after: int = 10**9) -> None:
        super().__init__(size=SIZE, fps=30)
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


@pytest.mark.parametrize(
    "tracker",
    [
        pytest.param(Replay([face({"jawOpen": 0.6})]), id="a face"),
        pytest.param(Replay([None]), id="no face"),
        pytest.param(Replay(faces_and_gaps()), id="faces come and go"),
        pytest.param(Failing(lambda _: True), id="engine broken"),
        pytest.param(Failing(lambda n: n % 5 > 2), id="engine breaks and mends"),
        pytest.param(Replay([face(where=pose(at=(5000, -3000), scale=900))]), id="a face far outside"),
        pytest.param(Replay([FaceParams(face().landmarks, face().pose, 0.1)]), id="unsure"),
    ],
)
def test_no_pixel_of_the_person_gets_out(tracker: Replay) -> None:
    pipeline = Pipeline(prepared(), tracker, Gains())
    for index in range(60):
        frame = None if 20 <= index < 30 else poisoned(index, at=index / 30)
        assert poison_in(pipeline.step(frame, index / 30)) == 0, f"frame {index}"


def test_the_poison_would_be_seen() -> None:
    picture = prepared().picture
    assert poison_in(picture) == 0
    blended = (picture * 0.3 + np.array(POISON) * 0.7).astype(np.uint8)
    assert poison_in(blended) > 0.9 * picture.shape[0] * picture.shape[1]


def test_with_nobody_there_it_lives() -> None:
    pipeline = Pipeline(prepared(), Replay([None]), Gains())
    frames = [pipeline.step(None, at).copy() for at in np.arange(0, 6, 0.1)]
    assert all(frame.mean() > 20 for frame in frames)  # never black
    assert len({frame.tobytes() for frame in frames}) > 30  # never frozen


def test_an_engine_that_breaks_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline(prepared(), Failing(lambda n: n < 10), Gains())
    caplog.set_level("INFO")
    for index in range(20):
        pipeline.step(poisoned(index, at=index / 30), index / 30)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]


def test_it_follows_a_mouth() -> None:
    pipeline = Pipeline(prepared(), Replay([face(), face({"jawOpen": 0.8})]), Gains())
    for index in range(0, 40, 2):
        shut = pipeline.step(poisoned(index, at=index / 30), index / 30).copy()
    opened = pipeline.step(poisoned(41, at=41 / 30), 41 / 30)
    assert (np.abs(opened.astype(int) - shut).max(axis=2) > 30).sum() > 200


def test_what_was_learned_beforehand_is_followed_from_the_first_frame() -> None:
    pipeline = Pipeline(prepared(), Replay([face(), face({"jawOpen": 0.8})]), Gains())
    assert pipeline.learn(poisoned(0, at=0.0))
    pipeline.rewind()
    opened = pipeline.step(poisoned(1, at=0.0), 0.0)
    still = Pipeline(prepared(), Replay([None]), Gains()).step(None, 0.0)
    assert (np.abs(opened.astype(int) - still).max(axis=2) > 30).sum() > 200


def test_somebody_else_gets_a_neutral_of_their_own() -> None:
    other = face({"jawOpen": 0.5, "browInnerUp": 1.0, "mouthPucker": 0.5})
    seen: list[FaceParams | None] = [face()] * 40 + [None] * 200 + [other] * 200
    pipeline = Pipeline(prepared(), Replay(seen), Gains(mouth=1, eyes=1, brows=1, head=0))
    for index in range(len(seen)):
        picture = pipeline.step(poisoned(index, at=index / 30), index / 30)
    brow = prepared().params.landmarks[105, :2].round().astype(int)
    still = prepared().picture
    around = np.s_[brow[1] - 6 : brow[1] + 6, brow[0] - 6 : brow[0] + 6]
    assert np.abs(picture[around].astype(int) - still[around]).mean() < 3  # raised brows are this one's own


def test_the_report_counts_and_times_every_stage() -> None:
    pipeline = Pipeline(prepared(), Replay([face()]), Gains())
    output = Recorder()
    for index in range(5):
        frame = poisoned(index)
        publish(output, pipeline.step(frame, frame.captured_at), pipeline.meter)
        pipeline.meter.delivered(frame)
    report = pipeline.meter.report(dropped=3)
    assert (report.frames_generated, report.frames_published, report.dropped) == (5, 5, 3)
    assert set(report.stages_ms) == set(STAGES)
    assert report.stages_ms["render"] > 0
    assert report.latency_p95_ms >= report.latency_p50_ms > 0
    assert report.rss_mb > 10
    assert "5 frames generated" in str(report)


def test_an_empty_report_can_be_shown() -> None:
    assert "0 frames generated" in str(Meter().report())


@contextmanager
def wired(monkeypatch: pytest.MonkeyPatch, camera: object, output: object, tracker: Replay) -> Iterator[None]:
    monkeypatch.setattr(daemon, "open_tracker", lambda settings: nullcontext(tracker))
    monkeypatch.setattr(daemon, "load_target", lambda path, found, size: prepared())
    if output is not None:
        monkeypatch.setattr(daemon, "open_output", lambda *args, **named: output)

    def open_camera(*args: object, **named: object) -> object:
        if isinstance(camera, Exception):
            raise camera
        return camera

    monkeypatch.setattr(daemon, "open_camera", open_camera)
    yield


def settings(**values: Any) -> Settings:
    return Settings(**{"target": Path("face.png"), "size": SIZE, "fps": 60, "output": "none", **values})


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


def recorded(clip: Path) -> list[Pixels]:
    with av.open(str(clip)) as container:
        frames = container.decode(video=0)
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in frames]


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
        report = daemon.render_video(
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
        found = list(daemon.track_video(settings(), driver(tmp_path / "d.mp4"), lambda *done: None))
    assert [params is None for params in found] == [params is None for params in faces_and_gaps()]
