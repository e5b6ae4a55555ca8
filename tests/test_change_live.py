"""Size, rate, camera and output of a whole run, changed over its socket while somebody watches."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from threading import Event, Thread

import pytest
from controlled import black, loader, picture
from faces import Replay, face
from poison import PoisonedCamera, poison_in, prepared
from runs import recorded, settings, wired

from xpcam import builders, daemon, target_loader
from xpcam.commands import launching, running
from xpcam.control import instance as instances
from xpcam.control.client import Client
from xpcam.errors import CameraError, ControlError, OutputError
from xpcam.frame import Pixels
from xpcam.target.still import Target
from xpcam.virtual_camera import Buffer, NoCamera
from xpcam.virtual_camera import open_output as really_open

PATIENCE = 30.0


class Device(NoCamera):
    """The one device of its name, which keeps every picture."""

    def __init__(self, desk: "Desk", name: str, size: tuple[int, int], fps: float) -> None:
        super().__init__(size=size, fps=fps)
        self.description, self.name, self.closed = name, name, False
        self._desk = desk

    def convert(self, pixels: Pixels) -> Buffer:
        self._desk.seen.append((self.name, pixels.copy(), time.monotonic()))
        return super().convert(pixels)

    def readers(self) -> int | None:
        return self._desk.readers

    def close(self) -> None:
        self.closed = True


class Desk:
    """A run and what its user has: devices "one" and "two", cameras "a" and "b"."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Pixels, float]] = []
        self.readers: int | None = 1
        self.devices: list[Device] = []
        self.cameras: dict[str, list[PoisonedCamera]] = {"a": [], "b": []}
        self.client: Client

    def open_output(
        self, spec: str, *, size: tuple[int, int], fps: float, lasting: bool, **_: object
    ) -> object:
        if spec.endswith(".mp4"):
            return really_open(spec, size=size, fps=fps, lasting=lasting)
        if spec not in ("one", "two"):
            raise OutputError(f"{spec!r} is no output: use one or two")
        self.devices.append(Device(self, spec, size, fps))
        return self.devices[-1]

    def open_camera(self, spec: str, **_: object) -> PoisonedCamera:
        if spec not in self.cameras:
            raise CameraError(f"no camera {spec}; this machine has a, b")
        self.cameras[spec].append(PoisonedCamera(lambda n: True, frames=10**9))
        return self.cameras[spec][-1]

    def set(self, **values: object) -> dict[str, object]:
        return dict(self.client.ask("PATCH", "/settings", values))

    def status(self) -> dict[str, object]:
        return dict(self.client.ask("GET", "/status"))

    def more(self, count: int = 5) -> None:
        had = len(self.seen)
        until(lambda: len(self.seen) > had + count)

    def shape(self) -> tuple[int, ...]:
        return self.seen[-1][1].shape[1::-1]


def until(holds: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < PATIENCE
        time.sleep(0.01)


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Desk]:
    made = Desk()
    target = picture(tmp_path / "first.png", 70)
    wanted = settings(fps=30, camera="a", output="one", target=target, idle_timeout=0.3)
    with wired(monkeypatch, None, None, Replay([face({"jawOpen": 0.3 * (n % 3)}) for n in range(9)])):
        monkeypatch.setattr(builders, "open_loader", lambda _: loader())
        monkeypatch.setattr(daemon, "open_camera", made.open_camera)
        monkeypatch.setattr(daemon, "open_output", made.open_output)
        thread = Thread(target=daemon.run_live, args=(wanted,))
        thread.start()
        try:
            until(instances.find("default").socket.exists)
            made.client = Client("default")
            made.more()
            yield made
        finally:
            launching.stop("default")
            thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not any(black(pixels) or poison_in(pixels) for _, pixels, _ in made.seen)
    until(lambda: all(one.closed for one in made.devices))
    until(lambda: all(one.closed for opened in made.cameras.values() for one in opened))


def test_a_size_change_while_somebody_reads_and_after(desk: Desk) -> None:
    assert desk.set(size="160x120")["size"] == "160x120"
    desk.more()
    assert desk.shape() == (320, 240)  # what the reader was given
    assert desk.status()["size"] == [160, 120]
    assert "fitted into it until nobody reads" in str(desk.status()["output"])
    desk.readers = 0
    until(lambda: len(desk.devices) == 2)
    desk.readers = 1
    desk.more()
    assert desk.shape() == (160, 120)


def test_a_size_that_nobody_reads_is_there_at_once(desk: Desk) -> None:
    desk.readers = 0
    until(lambda: desk.status()["state"] == "asleep")
    desk.set(size="160x240")
    assert len(desk.devices) == 2
    desk.more(1)
    assert desk.shape() == (160, 240)


def test_the_rate(desk: Desk) -> None:
    desk.set(fps=10)
    until(lambda: desk.status()["rates"]["wanted"] == 10.0)  # type: ignore[index]
    desk.more(2)
    desk.more(10)
    times = [at for _, _, at in desk.seen[-10:]]
    slow = (times[-1] - times[0]) / 9
    desk.set(fps=60)
    desk.more(2)
    desk.more(30)
    times = [at for _, _, at in desk.seen[-30:]]
    assert (times[-1] - times[0]) / 29 < slow


def test_another_camera_is_opened_before_the_first_is_left(desk: Desk) -> None:
    desk.set(camera="b")
    until(lambda: desk.cameras["a"][0].closed)
    assert not desk.cameras["b"][0].closed
    desk.more()
    assert desk.status()["state"] == "following"
    assert desk.status()["camera"] == "b"


def test_another_camera_while_nobody_looks_stays_closed(desk: Desk) -> None:
    desk.readers = 0
    until(lambda: desk.status()["state"] == "asleep")
    desk.set(camera="b")
    assert desk.cameras["b"] == []  # its light stays off
    desk.readers = 1
    until(lambda: desk.status()["state"] == "following")
    assert len(desk.cameras["b"]) == 1
    assert desk.cameras["a"][0].closed


def test_another_output(desk: Desk, tmp_path: Path) -> None:
    desk.set(output="two")
    desk.more()
    assert desk.seen[-1][0] == "two"
    assert desk.devices[0].closed
    clip = tmp_path / "clip.mp4"
    desk.set(output=str(clip))
    until((tmp_path / "clip.mp4.part").exists)
    made = desk.status()["frames"]["generated"]  # type: ignore[index]
    until(lambda: desk.status()["frames"]["generated"] > made + 8)  # type: ignore[index]
    desk.set(output="two")
    until(clip.exists)
    assert len(recorded(clip)) > 3


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"camera": "nobody", "mouth": 0.1}, "no camera nobody; this machine has a, b"),
        ({"output": "three", "camera": "b"}, "'three' is no output: use one or two"),
        ({"size": "161x120", "mouth": 0.1}, "size: found '161x120', wanted WIDTHxHEIGHT, both even"),
        ({"size": "9000x9000"}, "size: found '9000x9000', wanted WIDTHxHEIGHT"),
        ({"size": [640, 360]}, "size: found"),
        ({"fps": 0}, "fps: found '0', wanted a whole number from 1 to 120"),
        ({"fps": 29.97}, "fps: found '29.97', wanted a whole number"),
        ({"camera": ""}, "camera: "),
        ({"camera": "csv:take.csv"}, "a file of blend shapes .csv:FILE. is chosen at the start"),
        ({"output": "gone/clip.mp4"}, "there is no folder gone"),
    ],
)
def test_what_cannot_be_is_refused_whole(desk: Desk, values: dict[str, object], said: str) -> None:
    before, status = desk.client.ask("GET", "/settings"), desk.status()
    with pytest.raises(ControlError, match=said) as refused:
        desk.set(**values)
    assert "\n" not in str(refused.value)
    assert desk.client.ask("GET", "/settings") == before
    assert desk.status()["output"] == status["output"]
    desk.more()
    assert desk.seen[-1][0] == "one"
    assert not desk.cameras["a"][0].closed
    assert all(one.closed for one in desk.cameras["b"])


def test_an_output_may_not_be_the_target_itself(desk: Desk, tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"output .*first.png is the target itself"):
        desk.set(output=str(tmp_path / "first.png"))


def test_many_changes_show_a_picture_in_every_moment(desk: Desk) -> None:
    for number in range(20):
        one = number % 2 == 0
        desk.set(
            **({"camera": "b" if one else "a"} if number % 3 else {"size": "160x120" if one else "320x240"})
        )
        desk.more(2)
    times = [at for _, _, at in desk.seen]
    gaps = sorted(after - before for before, after in pairwise(times))
    assert gaps[-1] < 0.5 * sum(gaps)  # none in which everything stood
    assert len({pixels.tobytes() for _, pixels, _ in desk.seen[-30:]}) > 3


def test_a_change_that_takes_long_holds_up_no_picture(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ready, begun = Event(), Event()

    def slow(*_: object) -> Target:
        begun.set()
        assert ready.wait(PATIENCE)
        return prepared()

    monkeypatch.setattr(target_loader, "load_target", slow)
    other = picture(tmp_path / "other.png", 200)
    with ThreadPoolExecutor(1) as aside:
        asked = aside.submit(desk.client.ask, "PUT", "/target", {"target": str(other)}, patience=PATIENCE)
        assert begun.wait(PATIENCE)
        desk.more(10)
        assert desk.status()["target"] != str(other)
        assert not asked.done()
        ready.set()
        assert asked.result(PATIENCE) == {"target": str(other)}
    assert desk.status()["target"] == str(other)


def test_a_place_is_said_as_the_run_understands_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("driver.avi").touch()
    assert running._pair("camera=0") == ("camera", "0")
    assert running._pair("camera=HD Webcam v1.0") == ("camera", "HD Webcam v1.0")
    assert running._pair("camera=driver.avi") == ("camera", str(tmp_path / "driver.avi"))
    assert running._pair("output=new.mp4") == ("output", str(tmp_path / "new.mp4"))
    assert running._pair("camera=rtsp://host/a.mp4") == ("camera", "rtsp://host/a.mp4")
    assert running._pair("output=none") == ("output", "none")
    assert running._pair("size=640x360") == ("size", "640x360")
