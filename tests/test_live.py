"""A run whose output tells who reads: asleep and awake."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from faces import Replay, face
from poison import PoisonedCamera, Recorder, poison_in
from runs import blend_shapes, settings, wired

from xpcam import daemon, live
from xpcam.errors import CameraError
from xpcam.meter import RunReport
from xpcam.settings import Settings

PATIENCE = 20.0
TIMEOUT = 0.3


class Watched(Recorder):
    """An output whose readers the test decides."""

    def __init__(self) -> None:
        super().__init__()
        self.count: int | None = 0

    def readers(self) -> int | None:
        return self.count


class Studio:
    """A run in a thread, its output and its cameras."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.output = Watched()
        self.cameras: list[PoisonedCamera] = []
        self.failures = 0
        self.stop = threading.Event()
        self.report: RunReport | None = None
        self.monkeypatch = monkeypatch

    def open_camera(self, *_args: object, **_named: object) -> PoisonedCamera:
        if self.failures:
            self.failures -= 1
            raise CameraError("the camera is busy; close Zoom")
        self.cameras.append(PoisonedCamera(lambda n: True, frames=10**9))
        return self.cameras[-1]

    @contextmanager
    def running(self, wanted: Settings) -> Iterator[None]:
        @contextmanager
        def stop_on_signals() -> Iterator[threading.Event]:
            yield self.stop

        def run() -> None:
            self.report = daemon.run_live(wanted)

        with wired(self.monkeypatch, None, self.output, Replay([face()])):
            self.monkeypatch.setattr(daemon, "open_camera", self.open_camera)
            self.monkeypatch.setattr(daemon, "stop_on_signals", stop_on_signals)
            thread = threading.Thread(target=run)
            thread.start()
            try:
                yield
            finally:
                self.stop.set()
                thread.join(PATIENCE)
        assert not thread.is_alive()
        assert not any(poison_in(pixels) for pixels in self.output.seen)


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture
def studio(monkeypatch: pytest.MonkeyPatch) -> Studio:
    monkeypatch.setattr(live, "REFRESH", 0.2)
    return Studio(monkeypatch)


def test_it_sleeps_until_somebody_looks_and_again_after(studio: Studio) -> None:
    with studio.running(settings(idle_timeout=TIMEOUT)):
        until(lambda: len(studio.output.seen) == 4)  # the idling target, now and then
        assert not studio.cameras
        asleep = {pixels.tobytes() for pixels in studio.output.seen[1:]}
        assert len(asleep) == 1  # made once, shown again
        for number in (1, 2):
            studio.output.count = 1
            until(lambda number=number: len(studio.cameras) == number)  # type: ignore[misc]
            shown = len(studio.output.seen)
            until(lambda shown=shown: len(studio.output.seen) > shown + 10)  # type: ignore[misc]
            assert not studio.cameras[-1].closed
            studio.output.count = 0
            until(lambda: studio.cameras[-1].closed)
    assert studio.report is not None
    assert studio.report.frames_generated > 10
    assert 0 < studio.report.asleep < studio.report.seconds
    assert "asleep for" in str(studio.report)


def test_a_camera_that_does_not_open_at_wake_ends_nothing(
    studio: Studio, caplog: pytest.LogCaptureFixture
) -> None:
    studio.failures = 2
    with studio.running(settings(idle_timeout=TIMEOUT)):
        until(lambda: len(studio.output.seen) == 2)
        studio.output.count = 1
        until(lambda: len(studio.cameras) == 1)
    assert caplog.text.count("the camera is busy; close Zoom; the target idles") == 1
    assert len(studio.output.seen) > 10  # meanwhile


@pytest.mark.parametrize(("readers", "timeout"), [(None, TIMEOUT), (1, TIMEOUT), (0, 0)])
def test_it_never_sleeps_where_somebody_looks_may_look_or_it_is_told_not_to(
    readers: int | None, timeout: float, studio: Studio
) -> None:
    studio.output.count = readers
    with studio.running(settings(idle_timeout=timeout)):
        until(lambda: len(studio.output.seen) > 60)
    assert len(studio.cameras) == 1
    assert studio.report is not None
    assert studio.report.asleep == 0


def test_a_file_of_blend_shapes_sleeps_as_well(studio: Studio, tmp_path: Path) -> None:
    with studio.running(settings(idle_timeout=TIMEOUT, camera=f"csv:{blend_shapes(tmp_path)}")):
        until(lambda: len(studio.output.seen) == 2)
        assert len({pixels.tobytes() for pixels in studio.output.seen}) == 1
        studio.output.count = 1
        until(lambda: len(studio.output.seen) > 30)
    assert not studio.cameras


def test_a_time_limit_ends_a_run_that_sleeps(studio: Studio) -> None:
    with studio.running(settings(idle_timeout=TIMEOUT, seconds=0.3)):
        until(lambda: studio.report is not None)
    assert studio.report is not None
    assert 0 < studio.report.asleep <= studio.report.seconds
