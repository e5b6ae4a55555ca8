"""The whole program with its real engines on a poisoned video: nothing of the driver comes out."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Literal

import av
import cv2
import numpy as np
import openpeople
import pytest
import x2face_models
from av.video.stream import VideoStream
from poison import POISON, SIZE, poison_in

from xpcam import cli, daemon, offline
from xpcam.errors import CameraError
from xpcam.frame import FaceParams, Floats, Frame, Pixels
from xpcam.settings import Settings
from xpcam.tracking.tracker import FaceTracker
from xpcam.x2face.driving import Driving

Engine = Literal["mesh", "x2face"]
FRAMES = 75  # of a driver of 30 a second
SOMEBODY = range(20, 55)  # the frames that have a face
ALL = SIZE[0] * SIZE[1]


def generated(person: str) -> Pixels:
    """A person who does not exist, no taller than the driver's pictures."""
    path = openpeople.curated.get(person).asset_path("studio_portrait")
    picture = cv2.imread(str(path))
    assert picture is not None
    scale = 0.9 * SIZE[1] / picture.shape[0]
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def poisoned_frames() -> Iterator[Pixels]:
    """The poison alone, then with a person who sways and wears it on the face, then alone again."""
    person = generated("P001")
    height, width = person.shape[:2]
    for x, y in ((0.5, 0.25), (0.4, 0.47), (0.6, 0.47), (0.5, 0.65)):  # forehead, cheeks, chin
        cv2.circle(person, (round(x * width), round(y * height)), 5, POISON, -1)
    for number in range(FRAMES):
        pixels = np.full((SIZE[1], SIZE[0], 3), POISON, np.uint8)
        if number in SOMEBODY:
            left = (SIZE[0] - width) // 2 + round(12 * np.sin(number / 4))
            pixels[SIZE[1] - height :, left : left + width] = person
        yield pixels


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("poison") / "driver.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "15", "g": "10"})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for pixels in poisoned_frames():
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="bgr24")))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("target") / "face.png"
    cv2.imwrite(str(path), generated("P009"))
    return path


@pytest.fixture
def tracked(monkeypatch: pytest.MonkeyPatch) -> list[FaceParams | None]:
    """What the real tracker says of each frame."""
    seen: list[FaceParams | None] = []
    track = FaceTracker.track

    def spy(tracker: FaceTracker, frame: Frame) -> FaceParams | None:
        seen.append(track(tracker, frame))
        return seen[-1]

    monkeypatch.setattr(FaceTracker, "track", spy)
    return seen


@pytest.fixture
def driven(monkeypatch: pytest.MonkeyPatch) -> list[Floats]:
    """What X2Face's driving network is asked of."""
    asked: list[Floats] = []
    grid = Driving.grid

    def spy(driving: Driving, landmarks: Floats) -> Floats | None:
        asked.append(landmarks)
        return grid(driving, landmarks)

    monkeypatch.setattr(Driving, "grid", spy)
    return asked


def moved(driven: list[Floats]) -> float:
    """How far the embedded face moved, half crops."""
    return float(np.ptp(driven, axis=0).max()) if driven else 0.0


def pictures(clip: Path) -> list[Pixels]:
    with av.open(str(clip)) as container:
        return [np.asarray(frame.to_ndarray(format="bgr24"), np.uint8) for frame in container.decode(video=0)]


def poisoned(clip: Path) -> int:
    return max(poison_in(picture) for picture in pictures(clip))


def settings(target: Path, driver: Path, clip: Path, engine: Engine = "mesh") -> Settings:
    return Settings(
        target=target,
        camera=str(driver),
        output=str(clip),
        size=SIZE,
        loop=False,
        device="cpu",
        threads=1,
        engine=engine,
    )


@pytest.fixture(params=["mesh", "x2face"])
def engine(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """Either engine; small networks stand for X2Face's."""
    x2face_models.install(tmp_path, monkeypatch)
    made: Engine = request.param
    return made


def test_the_driver_is_poisoned_through_and_through(driver: Path) -> None:
    seen = pictures(driver)
    assert len(seen) == FRAMES
    assert min(poison_in(picture) for picture in seen) > 0.3 * ALL


def test_a_live_run_on_a_poisoned_video(
    driver: Path,
    target: Path,
    tmp_path: Path,
    tracked: list[FaceParams | None],
    driven: list[Floats],
    engine: Engine,
) -> None:
    clip = tmp_path / "out.mp4"
    report = daemon.run_live(settings(target, driver, clip, engine))
    assert report.frames_generated > 20
    assert sum(params is not None for params in tracked) > 5  # the person was followed
    assert sum(params is None for params in tracked) > 5  # and missed
    assert (moved(driven) > 0.02) == (engine == "x2face")
    assert len(pictures(clip)) > 20
    assert poisoned(clip) == 0


def test_a_poisoned_video_that_breaks_off(
    driver: Path, target: Path, tmp_path: Path, tracked: list[FaceParams | None]
) -> None:
    cut, clip = tmp_path / "cut.mkv", tmp_path / "out.mp4"
    content = bytearray(driver.read_bytes())
    content[len(content) * 2 // 3 :] = b"\xff\x00\xff" * 500
    cut.write_bytes(content)
    with suppress(CameraError):  # an end to some containers, an error to others
        daemon.run_live(settings(target, cut, clip))
    assert any(params is not None for params in tracked)
    assert len(pictures(clip)) > 10
    assert poisoned(clip) == 0


def test_an_offline_rendering_of_a_poisoned_video(
    driver: Path,
    target: Path,
    tmp_path: Path,
    tracked: list[FaceParams | None],
    driven: list[Floats],
    engine: Engine,
) -> None:
    clip = tmp_path / "out.mp4"
    offline.render_video(settings(target, driver, clip, engine), driver, clip, lambda *done: None)
    assert any(params is not None for params in tracked)
    assert (moved(driven) > 0.02) == (engine == "x2face")
    assert len(pictures(clip)) == FRAMES
    assert poisoned(clip) == 0


def test_a_camera_that_is_misspelt_costs_no_older_recording(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clip = tmp_path / "old.mp4"
    clip.write_bytes(b"precious")
    camera = str(tmp_path / "typo.mp4")
    start = ["xpcam", "start", "--target", str(target), "--camera", camera, "--output", str(clip)]
    monkeypatch.setattr("sys.argv", [*start, "--size", "320x240", "--log-level", "error"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 4
    assert "typo.mp4" in capsys.readouterr().err
    assert clip.read_bytes() == b"precious"
    assert list(tmp_path.iterdir()) == [clip]
