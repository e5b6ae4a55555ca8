"""Both engines side by side: how it is judged, and how it is shown."""

from pathlib import Path

import numpy as np
import pytest
from faces import face, pose
from videos import write_video

from engines import compare
from engines.face_params.evaluate import MEASURES
from engines.turning import turned, turns_carried
from xpcam.frame import Appearance, FaceParams, Floats


def seen(turn: tuple[float, float, float]) -> Floats:
    return face(where=pose(turn=turn)).landmarks[:, :2]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_turn_is_read_from_flat_landmarks(axis: int) -> None:
    turn = [0.0, 0.0, 0.0]
    turn[axis] = 0.2
    angles = turned(seen((turn[0], turn[1], turn[2])))
    assert abs(angles[axis]) == pytest.approx(0.2, abs=0.01)
    assert np.delete(np.abs(angles), axis).max() < 0.01


def test_only_turns_that_a_driver_makes_are_judged() -> None:
    ways = np.sin(np.linspace(0, 6, 40))
    person = np.stack([seen((0, 0.3 * way, 0.001 * way)) for way in ways])
    half = np.stack([seen((0, 0.15 * way, 0.3)) for way in ways])
    found = turns_carried(person, half)
    assert set(found) == {"yaw", "yaw_spread"}
    assert found["yaw"] > 0.99
    assert found["yaw_spread"] == pytest.approx(0.5, abs=0.03)


def test_a_row_and_the_table() -> None:
    carried = dict.fromkeys(MEASURES, 0.8) | {"lip_width": 0.4}
    person = np.stack([seen((0, 0.3 * way, 0)) for way in np.linspace(-1, 1, 9)])
    still = np.stack([seen((0, 0, 0))] * 9)
    moving, resting = (compare.row(carried, driver, driver) for driver in (person, still))
    assert moving["expression"] == pytest.approx(0.7)
    assert moving["pose"] == pytest.approx(1.0)
    assert np.isnan(resting["pose"])
    shown = compare.lines({"mesh": [moving, resting], "x2face unet": [resting]})
    assert "pose" in shown[1]
    assert "1.000" in shown[2] and "nan" not in shown[2]
    assert "nan" in shown[3]


def test_identity_is_the_mean_of_what_was_read() -> None:
    def read(code: float) -> FaceParams:
        one = face()
        light = np.zeros((9, 3), np.float32)
        look = Appearance(np.full(80, code, np.float32), np.zeros(80, np.float32), light)
        return FaceParams(one.landmarks, one.pose, 0.9, appearance=look)

    assert compare.identities([read(1.0), None, read(2.0)])[0] == pytest.approx(1.5)


def test_a_sheet_has_a_column_for_the_driver_and_each_engine(tmp_path: Path) -> None:
    videos = [write_video(tmp_path / f"{name}.mp4", 12) for name in ("driver", "mesh", "unet")]
    picture = compare.sheet(videos[0], videos[1:])
    assert picture.shape == (compare.MOMENTS * compare.TALL, 3 * compare.TALL, 3)
    columns = [picture[:, index * compare.TALL + 100].mean() for index in range(3)]
    assert columns == pytest.approx([columns[0]] * 3, abs=1)


def test_only_engines_that_come_with_it_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "SHIPPED", {"x2face_driving_unet.onnx": "there"})
    assert compare.present() == ["mesh", "x2face unet"]
