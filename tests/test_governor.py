"""The governor on machines that are simulated, and what each of its steps does to the pictures."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from clips import SIZE, Knowing, drawn, swaying, write_clip
from controlled import controlled
from faces import Replay, face, pose
from poison import POISON, poison_in, poisoned, prepared

from xpcam.control.metrics import metrics
from xpcam.face.landmarks import unpose
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.governor import CALM, STEPS, Governor, Quality, Seen
from xpcam.mouth.proxy import MouthProxy
from xpcam.pipeline import Pipeline
from xpcam.progress import unseen
from xpcam.rendering.animated_target import AnimatedClip
from xpcam.rendering.coarse import CoarseRenderer
from xpcam.rendering.renderer import BUFFERS, Look, Renderer
from xpcam.retargeting.between import Between
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, Retargeter, observe
from xpcam.target.clip import read_clip

FPS = 30
HOUR = 3600.0


@dataclass
class Machine:
    """Makes a picture in `full(at)` seconds at full quality, and with each step in what it says it takes."""

    full: Callable[[float], float]
    costs: tuple[float, ...] = tuple(step.cost for step in STEPS)
    taken: list[tuple[float, int]] = field(default_factory=list)

    def run(self, seconds: float, period: float | None = None) -> Governor:
        at = 0.0
        governor = Governor(FPS, lambda quality: self.taken.append((at, STEPS.index(quality))))
        while at < seconds:
            cost = self.full(at) * self.costs[governor.step]
            governor.made(cost, at, period)
            at += max(cost, period or 1 / FPS)
        return governor


def test_a_machine_that_is_fast_enough_is_left_alone() -> None:
    assert Machine(lambda at: 0.030).run(HOUR / 6).changes == 0


def test_single_long_pictures_change_nothing() -> None:
    spikes = Machine(lambda at: 0.5 if at % 2 < 1 / FPS else 0.025)
    assert spikes.run(HOUR / 6).changes == 0


@pytest.mark.parametrize(("slower", "step"), [(1.05, 1), (1.15, 2), (1.5, 3), (3.0, 3)])
def test_a_slow_machine_goes_down_in_order_and_stays(slower: float, step: int) -> None:
    machine = Machine(lambda at: slower / FPS)
    governor = machine.run(HOUR)
    assert [to for _, to in machine.taken] == list(range(1, step + 1))
    assert machine.taken[-1][0] < 10
    assert "ms" in governor.state[1]


def test_when_the_load_is_gone_full_quality_is_back() -> None:
    machine = Machine(lambda at: 0.050 if 60 < at < 120 else 0.020)
    governor = machine.run(300)
    assert [to for _, to in machine.taken] == [1, 2, 3, 2, 1, 0]
    assert governor.state == (0, governor.state[1])
    assert "room again" in governor.state[1]
    assert machine.taken[3][0] > 120 + CALM
    assert machine.taken[5][0] < 120 + 5 * CALM


def test_a_load_that_comes_and_goes_makes_it_patient() -> None:
    machine = Machine(lambda at: 0.050 if at % 30 < 15 else 0.020)
    machine.run(HOUR)
    late = [at for at, _ in machine.taken if at > 300]
    assert len(machine.taken) < 12
    assert len(late) <= 2


def test_steps_that_save_more_than_is_known_do_not_flap() -> None:
    # With each step it looks as if there were room again, and there never is.
    machine = Machine(lambda at: 0.040, costs=(1.0, 0.2, 0.15, 0.1))
    machine.run(HOUR)
    times = [at for at, _ in machine.taken]
    assert len(times) < 30
    assert sum(at > HOUR / 2 for at in times) <= 8


def test_a_camera_slower_than_the_rate_leaves_more_time() -> None:
    assert Machine(lambda at: 0.050).run(60, period=1 / 15).changes == 0
    assert Machine(lambda at: 0.050).run(60, period=1 / FPS).changes > 0


def test_after_sleep_it_begins_anew() -> None:
    changed: list[Quality] = []
    governor = Governor(FPS, changed.append)
    for index in range(40):  # a long picture now and then, hours apart: never a second of them
        governor.made(0.1, 100.0 * index)
    assert not changed


def test_the_cameras_period_counts_frames_that_were_overtaken() -> None:
    first = Seen(10, 5.0)
    assert Seen(13, 5.1).period_since(first) == pytest.approx(0.1 / 3)
    assert first.period_since(None) is None
    assert Seen(0, 5.1).period_since(first) is None  # another camera
    assert Seen(11, 60.0).period_since(first) is None  # asleep between


def opened() -> FaceParams:
    person = face({"jawOpen": 0.8}, pose(turn=(0.05, 0.2, 0.0)))
    return Retargeter(prepared().params, Gains()).apply(observe(person, neutral()))


def neutral() -> Neutral:
    return Neutral(unpose(face().landmarks, face().pose), pose())


@pytest.mark.parametrize("coarse", [1.5, 2.0])
def test_a_coarse_picture_is_the_same_at_the_same_place(coarse: float) -> None:
    target, params = prepared(), opened()
    fine = Renderer(target).render(params).copy()
    drawn = CoarseRenderer(target, Look(coarse=coarse)).render(params)
    assert drawn.shape == fine.shape
    moved = np.abs(fine.astype(int) - target.picture).mean()
    assert np.abs(drawn.astype(int) - fine).mean() < 0.5 * moved
    off = {
        shift: np.abs(np.roll(drawn, shift, (0, 1)).astype(int) - fine)[30:-30, 30:-30].mean()
        for shift in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    }
    assert min(off, key=lambda shift: off[shift]) == (0, 0)


def test_coarse_pictures_stay_as_they_are_for_two_calls() -> None:
    renderer, target = CoarseRenderer(prepared(), Look(coarse=2.0)), prepared()
    first = renderer.render(opened())
    kept = first.copy()
    for _ in range(BUFFERS - 1):
        renderer.render(target.params)
    assert (first == kept).all()


def test_a_clip_is_drawn_coarse_too(tmp_path: Path) -> None:
    shown: list[Pixels] = []
    faces = swaying(8)
    path = write_clip(tmp_path / "clip.mp4", drawn(faces))
    read = read_clip(path, SIZE, Knowing(list(faces)), unseen)
    for coarse in (1.0, 2.0):
        clip = AnimatedClip(read, Gains(), Look(coarse=coarse))
        params = clip.act(observe(face({"jawOpen": 0.8}), neutral()), 1.0, 0.0)
        shown.append(clip.render(params).copy())
        clip.close()
    assert shown[0].shape == shown[1].shape
    assert 0 < np.abs(shown[0].astype(int) - shown[1]).mean() < 8


@pytest.mark.parametrize("every", [1, 2])
def test_the_mouth_is_drawn_as_often_as_it_is_told(every: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = 0
    draw = MouthProxy.draw

    def counted(self: MouthProxy, *args: object) -> object:
        nonlocal drawn
        drawn += 1
        return draw(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(MouthProxy, "draw", counted)
    target = prepared()
    renderer, each = Renderer(target, Look(interior_every=every)), Renderer(target)
    params = opened()
    for _ in range(8):
        picture = renderer.render(params)
    assert drawn == 8 // every
    assert (
        np.abs(picture.astype(int) - each.render(params)).max() <= 2
    )  # the last drawing is still the mouth's


class Counting(Replay):
    """Counts what it is shown."""

    calls = 0

    def track(self, frame: Frame) -> FaceParams | None:
        self.calls += 1
        return super().track(frame)


def test_every_second_frame_is_tracked_and_nobody_leaks() -> None:
    tracker = Counting([face({"jawOpen": 0.1 * (n % 8)}) for n in range(60)])
    pipeline = Pipeline(prepared(), tracker, Gains())
    pipeline.targets.put(replace(pipeline.targets.latest, track_every=2))
    for index in range(60):
        assert poison_in(pipeline.step(poisoned(index, at=index / 30), index / 30)) == 0
    assert 30 <= tracker.calls <= 32 + 30  # the neutral face is learned from each frame until it is known
    before = tracker.calls
    for index in range(60, 80):
        pipeline.step(poisoned(index, at=index / 30), index / 30)
        assert pipeline.following
    assert tracker.calls - before == 10
    pipeline.close()


def test_between_two_frames_lies_half_of_the_way() -> None:
    between = Between()
    shown = []
    for frame in range(8):
        if between.wants(2):
            between.take(replace(STILL, zoom=0.1 * frame))
        motion = between.motion(2)
        assert motion is not None
        shown.append(motion.zoom)
    assert shown == pytest.approx([0.0, 0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    between.take(None)
    assert between.motion(2) is None
    assert between.wants(2)  # whoever comes is seen at once


def test_a_late_run_is_lowered_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    with controlled(Replay([face({"jawOpen": 0.5})])) as control:
        told = threading.Event()

        def change(quality: Quality) -> None:
            control.steering.spare(quality)
            told.set()

        control.live.governor = governor = Governor(FPS, change, lambda: 0.0)
        assert control.status().quality is not None
        for index in range(40):
            governor.made(0.1, 0.1 * index)
        assert told.is_set()
        live = control.pipeline.targets.current()
        assert (live.look.interior_every, live.look.coarse) == (2, STEPS[governor.step].coarse)
        said = control.status().quality
        assert said is not None
        assert (said.step, said.changes) == (governor.step, governor.step)
        assert said.why == "pictures took 100 of 33 ms"
        assert f"xpcam_quality_step {governor.step}" in metrics(control.status(), control.pipeline.meter)
        control.steering.change({"mouth": 1.3})  # and what is changed by hand leaves it as it is
        assert control.pipeline.targets.latest.look.coarse == live.look.coarse
        picture = control.pipeline.step(poisoned(0), time.monotonic())
        assert poison_in(picture) == 0
        assert POISON not in {tuple(pixel) for pixel in picture.reshape(-1, 3)[::97]}
    assert "quality: mouth drawn every second picture" in caplog.text
