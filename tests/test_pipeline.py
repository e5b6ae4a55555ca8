"""The pipeline, step by step: what is shown, and that nothing of the person is."""

from collections.abc import Callable
from functools import partial
from typing import cast

import numpy as np
import pytest
from faces import Replay, face, pose
from poison import POISON, Recorder, faces_and_gaps, poison_in, poisoned, prepared

from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame
from xpcam.meter import STAGES, Meter
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.interior import Interior
from xpcam.mouth.seen import MouthSeen
from xpcam.pipeline import Pipeline, publish
from xpcam.rendering.renderer import Look
from xpcam.rendering.target_switch import animate
from xpcam.retargeting.retargeter import Gains


class Failing(Replay):
    """Tracks nothing: its engine breaks at some frames."""

    def __init__(self, breaks: Callable[[int], bool]) -> None:
        super().__init__([face({"jawOpen": 0.4})])
        self._breaks = breaks

    def track(self, frame: Frame) -> FaceParams | None:
        if self._breaks(frame.sequence):
            raise EngineError("engine face_params failed: out of memory")
        return super().track(frame)


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
    caplog.clear()  # of what was said about the target
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


@pytest.mark.parametrize(
    ("interior", "there", "looks"), [("on", True, 2), ("on", False, 0), ("drawn", True, 0), ("off", True, 0)]
)
def test_the_persons_mouth_is_looked_at_only_for_the_mouth_engine(
    interior: Interior, there: bool, looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    engine = cast("MouthEngine", object()) if there else None  # shut lips: it is never asked
    monkeypatch.setattr(MouthSeen, "of", lambda _, picture, __: seen.append(picture))
    pipeline = Pipeline(prepared(), Replay([face()]), Gains(), look=Look(interior=interior, engine=engine))
    for index in range(2):
        pipeline.step(poisoned(index, index / 30), index / 30)
    assert len(seen) == looks


def test_the_persons_mouth_is_not_looked_at_for_another_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(MouthSeen, "of", lambda _, picture, __: seen.append(picture))
    pipeline = Pipeline(
        prepared(), Replay([face()]), Gains(), look=Look(interior="on"), animate=partial(animate)
    )
    pipeline.step(poisoned(0), 0.0)
    assert not seen


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
