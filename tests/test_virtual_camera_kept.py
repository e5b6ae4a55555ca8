"""An output that a process of its own holds, while the run that fills it dies, hangs and comes back."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera import NoCamera
from xpcam.virtual_camera.i420 import Buffer
from xpcam.virtual_camera.keeper import FADE, GAP, LINGER, Keeper
from xpcam.virtual_camera.keeping import Keeping, StandIn, dismiss, keep_for
from xpcam.virtual_camera.kept import KeptCamera

SIZE = (64, 48)
STAND_IN = (60, 90, 120, 150)  # levels of its own pictures


class Output(NoCamera):
    """Remembers the level of each picture; `count` programs read it."""

    def __init__(self, size: tuple[int, int], fps: float) -> None:
        super().__init__(size=size, fps=fps)
        self.levels: list[int] = []
        self.count = 1
        self.closed = False

    def convert(self, pixels: Pixels) -> Buffer:
        return pixels

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        self.levels.append(round(float(buffer.mean())))

    def readers(self) -> int:
        return self.count

    def close(self) -> None:
        self.closed = True


class Held:
    """A keeper in a thread, its clock and the outputs that it opened."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.time = 100.0
        self.refusal = ""
        self.outputs: list[Output] = []
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listening.bind(str(place))
        listening.listen()
        self.keeper = Keeper(listening, self._open, lambda: self.time)
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def _serve(self) -> None:
        while not self.keeper.over:
            self.keeper.step(0.002)
        self.keeper.close()

    def _open(self, _spec: str, /, *, size: tuple[int, int], fps: float) -> Output:
        if self.refusal:
            raise OutputError(self.refusal)
        self.outputs.append(Output(size, fps))
        return self.outputs[-1]

    @property
    def levels(self) -> list[int]:
        return self.outputs[-1].levels

    def run(self, size: tuple[int, int] = SIZE) -> KeptCamera:
        """A run whose keeper this is, with pictures to leave with it."""
        keeping = Keeping(self.place, StandIn(tuple(map(jpeg, STAND_IN))))
        return KeptCamera("v4l2", keeping, size=size, fps=30, spawn=unneeded, now=lambda: self.time)

    def wait(self, true: Callable[[], object]) -> None:
        until = time.monotonic() + 10
        while not true():
            assert time.monotonic() < until, self.levels[-5:]
            time.sleep(0.002)

    def shows(self, level: int) -> bool:
        return bool(self.levels) and abs(self.levels[-1] - level) <= 1

    def shown(self, pictures: int) -> bool:
        return len(self.levels) >= pictures

    def stands_in(self) -> bool:
        return any(abs(self.levels[-1] - level) <= 2 for level in STAND_IN)


def unneeded(place: Path) -> None:
    raise AssertionError(f"a keeper listens at {place}")


def grey(level: int, size: tuple[int, int] = SIZE) -> Pixels:
    return np.full((size[1], size[0], 3), level, np.uint8)


def jpeg(level: int) -> bytes:
    return cv2.imencode(".jpg", grey(level))[1].tobytes()


def show(camera: KeptCamera, level: int, size: tuple[int, int] = SIZE) -> None:
    camera.write(camera.convert(grey(level, size)))


def die(camera: KeptCamera) -> None:
    """What the kernel does for a process that is killed."""
    assert camera._line is not None
    camera._line.close()
    camera._line = None
    camera._pictures.close()


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    made = Held(tmp_path / "k.sock")
    yield made
    made.time += 2 * LINGER
    dismiss(made.place)
    made.thread.join(10)
    assert not made.thread.is_alive()


def test_every_picture_arrives(held: Held) -> None:
    with closing(held.run()) as camera:
        assert camera.description.endswith("kept through restarts")
        for level in range(0, 250, 10):
            show(camera, level)
            held.wait(partial(held.shows, level))
    assert held.levels == list(range(0, 250, 10))
    assert held.outputs[0].closed


def test_pictures_that_come_too_fast_are_left_out_and_none_is_torn(held: Held) -> None:
    with closing(held.run()) as camera:
        for level in range(200):
            show(camera, level)
        held.wait(lambda: camera.convert(grey(250)).size)
    assert held.levels == sorted(set(held.levels))


def test_readers_and_faults_are_those_of_the_output(held: Held) -> None:
    with closing(held.run()) as camera:
        show(camera, 1)
        held.wait(lambda: camera.readers() == 1)
        held.outputs[0].fault, held.outputs[0].count = "lost", 0
        held.wait(lambda: camera.readers() == 0)
        held.wait(lambda: camera.fault == "lost")
        held.wait(lambda: camera.convert(grey(2)).size == 0)  # nobody looks: one picture a second
        held.time += 1.0
        assert camera.convert(grey(2)).size


@pytest.mark.parametrize("how", ["dies", "hangs"])
def test_the_target_idles_when_the_run(held: Held, how: str) -> None:
    camera = held.run()
    for pictures in (1, 2):  # the stand-in comes behind the first
        show(camera, 240)
        held.wait(partial(held.shown, pictures))
    if how == "dies":
        die(camera)
    shown = len(held.levels)
    held.time += GAP + 0.01
    held.wait(lambda: len(held.levels) > shown)
    held.time += FADE
    held.wait(held.stands_in)
    shown = len(held.levels)
    for _ in range(12):
        more = len(held.levels) + 1
        held.time += 0.101
        held.wait(partial(held.shown, more))
    assert {level // 10 for level in held.levels[shown:]} >= {level // 10 for level in STAND_IN[1:3]}
    assert max(np.diff(held.levels[shown:], prepend=held.levels[shown])) <= 31  # forth and back, no leap
    if how == "hangs":
        shown = len(held.levels)
        show(camera, 250)
        held.wait(lambda: len(held.levels) > shown)
        held.time += FADE
        show(camera, 250)
        held.wait(lambda: held.shows(250))
    camera.close()


def test_the_run_that_comes_back_finds_its_output(held: Held) -> None:
    die(held.run())
    with closing(held.run()) as camera:
        show(camera, 10)
        held.wait(lambda: held.shows(10))
    assert len(held.outputs) == 1


def test_another_size_is_opened_anew(held: Held) -> None:
    first = held.run()
    show(first, 20)
    held.wait(lambda: held.shows(20))
    die(first)
    with closing(held.run((32, 16))) as camera:
        assert held.outputs[0].closed
        show(camera, 10, (32, 16))
        held.wait(lambda: held.shows(10))


def test_it_waits_for_a_restart_once(held: Held) -> None:
    camera = held.run()
    keep_for(held.place, 20)
    camera.close()
    assert not held.outputs[0].closed
    with closing(held.run()):
        pass
    held.thread.join(10)
    assert held.outputs[0].closed


def test_one_that_waits_ends_when_systemd_removes_its_folder(held: Held) -> None:
    camera = held.run()
    held.place.unlink()
    show(camera, 5)
    held.wait(lambda: held.shows(5))  # a run has it: nothing happens
    held.keeper._stay_until = held.time + 300
    camera.close()
    held.thread.join(10)
    assert held.outputs[0].closed


def test_nobody_is_waited_for_for_ever(held: Held) -> None:
    die(held.run())
    held.wait(lambda: held.keeper._run is None)
    held.time += LINGER + 1
    held.thread.join(10)
    assert held.outputs[0].closed


def test_one_that_waits_can_be_dismissed_and_one_that_works_cannot(held: Held) -> None:
    camera = held.run()
    dismiss(held.place)
    show(camera, 5)
    held.wait(lambda: held.shows(5))
    die(camera)
    held.wait(lambda: held.keeper._run is None)
    dismiss(held.place)
    assert held.outputs[0].closed


def test_a_refusal_is_passed_on(held: Held) -> None:
    held.refusal = "no device: make one"
    with pytest.raises(OutputError, match="no device: make one"):
        held.run()
    held.thread.join(10)


def test_nobody_is_there_to_dismiss(tmp_path: Path) -> None:
    dismiss(tmp_path / "none")
    (tmp_path / "left").touch()  # of a keeper that was killed
    keep_for(tmp_path / "left", 1)
