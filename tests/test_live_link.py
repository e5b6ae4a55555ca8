"""Blend shapes from and to the CSV of Live Link Face, and a target that follows such a file."""

import os
import signal
from pathlib import Path

import numpy as np
import pytest
from faces import Replay, face
from poison import poisoned, prepared

from xpcam.camera.spec import file_of, table_of
from xpcam.errors import CameraError
from xpcam.face.landmarks import rotation_matrix
from xpcam.face.model import ARKIT, TONGUE_OUT, face_model
from xpcam.frame import FaceParams
from xpcam.pipeline import Pipeline
from xpcam.retargeting.parameter_file import ParameterFile, motion_of
from xpcam.retargeting.retargeter import LID_CLOSED, STILL, Gains, Retargeter
from xpcam.signals import call_on_signal
from xpcam.tracking import live_link
from xpcam.tracking.live_link import COLUMNS, Take, read, timecode, write

SOME = "Timecode,BlendShapeCount,JawOpen,EyeBlinkLeft,HeadYaw"


def weights(**given: float) -> np.ndarray:
    return np.array([given.get(name, 0.0) for name in ARKIT], np.float32)


def shape(name: str) -> np.ndarray:
    return np.asarray(face_model().landmark_expression[ARKIT.index(name)])


def table(folder: Path, *lines: str, start: str = "") -> Path:
    path = folder / "take.csv"
    path.write_text(start + "\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_the_columns_are_those_of_the_app() -> None:
    assert len(COLUMNS) == 61
    assert COLUMNS[:3] == ("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft")
    assert COLUMNS[14:25] == (
        *("JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker"),
        *("MouthRight", "MouthLeft", "MouthSmileLeft", "MouthSmileRight"),
    )
    assert COLUMNS[51:56] == ("TongueOut", "HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw")
    assert COLUMNS[-1] == "RightEyeRoll"


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [
        (0.0, "00:00:00:00.000"),
        (0.04, "00:00:00:02.400"),
        (1 / 3, "00:00:00:20.000"),
        (59.9999999, "00:01:00:00.000"),
        (3661.5, "01:01:01:30.000"),
    ],
)
def test_timecodes(seconds: float, clock: str) -> None:
    assert timecode(seconds) == clock


def test_what_is_written_is_read(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    expression = random.random((4, 52), np.float32)
    head, gaze = random.random((4, 3), np.float32), random.random((4, 2, 2), np.float32)
    for rows in (expression, head, gaze):
        rows[2] = np.nan
    take = Take(np.array([0.0, 0.04, 0.08, 2.0]), expression, head, gaze)
    with (tmp_path / "take.csv").open("w", newline="", encoding="utf-8") as file:
        write(take, file)
    again = read(tmp_path / "take.csv")
    np.testing.assert_allclose(again.seconds, take.seconds, atol=1e-4)
    for name in ("expression", "head", "gaze"):
        np.testing.assert_allclose(getattr(again, name), getattr(take, name), atol=1e-6)


@pytest.mark.parametrize("turn", [(0.3, 0, 0), (0, 0.4, 0), (0, 0, -0.2), (0.2, -0.5, 0.3)])
def test_head_angles_and_back(turn: tuple[float, float, float]) -> None:
    rotation = np.array(turn, np.float32)
    angles = np.array(live_link.head_angles(rotation), np.float32)
    np.testing.assert_allclose(live_link.head_rotation(angles), rotation_matrix(rotation), atol=1e-6)


@pytest.mark.parametrize(
    ("angles", "point", "axis", "sign"),
    [
        pytest.param((0.3, 0, 0), (0, 0, -1), 0, +1, id="yaw: the nose to the person's left, our right"),
        pytest.param((0, 0.3, 0), (0, 0, -1), 1, -1, id="pitch: the nose up"),
        pytest.param((0, 0, 0.3), (0, -1, 0), 0, -1, id="roll: the top to the person's right, our left"),
    ],
)
def test_which_way_a_head_turns(
    angles: tuple[float, ...], point: tuple[float, ...], axis: int, sign: int
) -> None:
    moved = live_link.head_rotation(np.array(angles, np.float32)) @ np.array(point, np.float32)
    assert np.sign(moved[axis]) == sign


def test_files_as_they_come(tmp_path: Path) -> None:
    """A byte order mark, empty lines, another order, small letters, shapes left out, a row without a face."""
    path = table(
        tmp_path,
        "timecode,blendshapecount,jawOpen,eyeBlinkLeft,LeftEyeYaw,HeadX,",
        "",
        "16:48:39:58.245,61,0.5,1.2,-0.33,9,",
        "",
        "16:48:40:00.244,0,,,,,",
        ",,,,,",
        "16:48:42:00.244,61,0.25,-0.1,0,9,",
        start="\ufeff",
    )
    take = read(path)
    assert len(take.seconds) == 3
    np.testing.assert_allclose(take.seconds, [0, 1.999 / 60, 2 + 1.999 / 60], atol=1e-6)
    np.testing.assert_allclose(take.expression[0], weights(jawOpen=0.5, eyeBlinkLeft=1.0))
    np.testing.assert_allclose(take.gaze[0], np.array([[0.0, 0.0], [0.33, 0.0]]))
    assert np.isnan(take.expression[1]).all()
    assert take.expression[2].max() == 0.25


def test_frames_count_as_far_as_they_are_seen_to(tmp_path: Path) -> None:
    path = table(tmp_path, SOME, *(f"00:00:{i // 25:02}:{i % 25:02}.000,3,0,0,0" for i in range(75)))
    assert ParameterFile(path).rate == pytest.approx(25)
    assert ParameterFile(path).duration == pytest.approx(3.0)


def test_midnight_passes(tmp_path: Path) -> None:
    path = table(tmp_path, SOME, "23:59:59:59.000,3,0,0,0", "00:00:00:00.000,3,0,0,0")
    np.testing.assert_allclose(read(path).seconds, [0, 1 / 60], atol=1e-6)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ((), "found 'nothing', wanted Timecode"),
        (("frame,confidence,x0", "0,1,2"), "first line: found 'frame,confidence,x0', wanted Timecode"),
        ((SOME,), "no rows"),
        ((SOME, "00:00:00:00.000,3,0,0,0", "00:00:00:01.000,3,wide,0,0"), "line 3: found 'wide'"),
        ((SOME, "", "00:00:00:00.000,3,nan,0,0"), "line 3: found 'nan'"),
        ((SOME, "00:00:00:00.000,3,0"), "line 2: found 3 values, wanted 5"),
        ((SOME, "17,3,0,0,0"), "line 2: found timecode '17', wanted hh:mm:ss:ff.mmm"),
        (
            (SOME, "00:00:09:00.000,3,0,0,0", "00:00:08:00.000,3,0,0,0"),
            "line 3: found a timecode before the one above",
        ),
    ],
)
def test_bad_files_get_one_line(tmp_path: Path, lines: tuple[str, ...], said: str) -> None:
    with pytest.raises(CameraError) as caught:
        read(table(tmp_path, *lines))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CameraError, match="No such file"):
        read(tmp_path / "nothing.csv")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00" * 99)
    with pytest.raises(CameraError, match="no CSV text"):
        read(tmp_path / "binary.csv")
    (tmp_path / "endless.csv").write_text(SOME + "\n" + "0" * 200_000, encoding="utf-8")
    with pytest.raises(CameraError, match="field larger"):
        read(tmp_path / "endless.csv")
    monkeypatch.setattr(live_link, "LARGEST_BYTES", 10)
    with pytest.raises(CameraError, match="at most"):
        read(table(tmp_path, SOME))


def test_what_a_face_does_becomes_what_a_target_does(tmp_path: Path) -> None:
    """FaceParams, a file, a motion: the same expression and turn."""
    turn = np.array([0.1, -0.2, 0.05], np.float32)
    take = Take(
        np.array([0.0]),
        weights(jawOpen=0.5, mouthSmileLeft=0.3)[None],
        np.array([live_link.head_angles(turn)], np.float32),
        np.array([[[0.1, 0.2], [0.3, 0.4]]], np.float32),
    )
    with (tmp_path / "take.csv").open("w", newline="", encoding="utf-8") as file:
        write(take, file)
    motion = ParameterFile(tmp_path / "take.csv").motion(0.0)
    assert motion is not None
    goal = 0.5 * shape("jawOpen") + 0.3 * shape("mouthSmileLeft")
    np.testing.assert_allclose(motion.offsets, goal, atol=1e-5)
    np.testing.assert_allclose(motion.turn, turn, atol=1e-5)
    np.testing.assert_allclose(motion.gaze, take.gaze[0], atol=1e-6)


def test_a_blink_shuts_one_eye() -> None:
    motion = motion_of(weights(eyeBlinkLeft=1.0), np.zeros(3, np.float32), STILL.gaze)
    assert motion.lids[0] == pytest.approx(1.0, abs=0.01)
    assert motion.lids[1] < LID_CLOSED
    still = motion_of(weights(), np.zeros(3, np.float32), STILL.gaze)
    np.testing.assert_array_equal(still.offsets, STILL.offsets)


def test_between_rows_is_between_their_values(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        SOME,
        "00:00:00:00.000,3,0,0,0",
        "00:00:00:06.000,3,1,0,-0.2",
        "00:00:00:12.000,0,,,",
        "00:00:03:00.000,3,0,0,0",
    )
    played = ParameterFile(path)
    jaw = shape("jawOpen")
    half, late = played.motion(0.05), played.motion(0.15)
    assert half is not None and late is not None
    np.testing.assert_allclose(half.offsets, 0.5 * jaw, atol=1e-4)
    np.testing.assert_allclose(half.turn, (0, 0.1, 0), atol=1e-4)
    np.testing.assert_allclose(late.offsets, jaw, atol=1e-4)
    assert played.motion(1.0) is None


def test_the_target_moves_as_the_file_says() -> None:
    pipeline = Pipeline(prepared(), Replay([None]), Gains())
    pipeline.enter()
    still = pipeline.follow(STILL, 0.0).copy()
    opened = motion_of(weights(jawOpen=0.8), np.zeros(3, np.float32), STILL.gaze)
    picture = pipeline.follow(opened, 0.04)
    assert (np.abs(picture.astype(int) - still).max(axis=2) > 30).sum() > 200


def test_the_tongue_of_a_file_comes_out_of_the_target(tmp_path: Path) -> None:
    path = table(
        tmp_path,
        "Timecode,BlendShapeCount,JawOpen,TongueOut",
        "00:00:00:00.000,2,0.6,0",
        "00:00:00:06.000,2,0.6,1",
    )
    played = ParameterFile(path)
    motions = [played.motion(at) for at in (0.0, 0.05, 0.1)]
    retargeter = Retargeter(prepared().params, Gains(mouth=0.9))
    shown = [retargeter.apply(motion).expression[TONGUE_OUT] for motion in motions if motion is not None]
    assert shown == pytest.approx([0.0, 0.45, 0.9], abs=1e-3)
    pipeline = Pipeline(prepared(), Replay([None]), Gains(), mirror=True)
    pipeline.enter()
    rest, _, out = (pipeline.follow(motion, 0.0).astype(int) for motion in motions)
    changed = np.flatnonzero(np.abs(out - rest).max(axis=(1, 2)) > 12)
    assert 4 < len(changed) < len(out) / 3


def test_a_mirrored_file_moves_the_other_side() -> None:
    wink = motion_of(weights(eyeBlinkLeft=1.0), np.zeros(3, np.float32), STILL.gaze)
    pictures = []
    for mirror in (False, True):
        pipeline = Pipeline(prepared(), Replay([None]), Gains(), mirror=mirror)
        pipeline.enter()
        still = pipeline.follow(STILL, 0.0).astype(int)
        pictures.append(np.abs(pipeline.follow(wink, 0.04) - still).sum(axis=2))
    plain, mirrored = (picture[:, : picture.shape[1] // 2].sum() for picture in pictures)
    assert mirrored > 2 * plain


def test_the_spec_of_a_table() -> None:
    assert table_of("csv:/tmp/a.csv") == file_of("csv:/tmp/a.csv") == Path("/tmp/a.csv")
    assert table_of("/tmp/a.csv") is None


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="no SIGUSR1 on this system")
def test_a_signal_asks_for_a_new_neutral_face() -> None:
    asked: list[bool] = []
    with call_on_signal("SIGUSR1", lambda: asked.append(True)):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert asked == [True]
    assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_a_neutral_face_on_request_is_the_one_shown_now() -> None:
    tense = face({"browInnerUp": 1.0, "browOuterUpLeft": 1.0, "browOuterUpRight": 1.0})
    seen: list[FaceParams | None] = [*[face()] * 40, *[tense] * 100]
    pipeline = Pipeline(prepared(), Replay(seen), Gains(head=0.0))
    shown = []
    for index in range(100):
        if index == 60:
            pipeline.relearn()
        shown.append(pipeline.step(poisoned(index, at=index / 30), index / 30).copy())
    still, raised, after = (shown[index].astype(int) for index in (39, 59, 99))
    assert np.abs(after - still).mean() < 0.3 * np.abs(raised - still).mean()
