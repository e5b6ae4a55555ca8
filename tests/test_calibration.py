"""What a calibration says of what it saw, and profiles on the disk."""

import numpy as np
import pytest
from faces import face, pose

from xpcam.errors import CameraError, SettingsError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.retargeting.calibration import FEWEST, Judgement, Sampling, brightness
from xpcam.retargeting.neutral import estimate
from xpcam.retargeting.profile import load_profile, profile_folder, save_profile


def frame(number: int, grey: int = 120) -> Frame:
    return Frame(np.full((480, 640, 3), grey, np.uint8), number, number / 30)


def judged(faces: list[FaceParams | None], grey: int = 120) -> dict[str, Judgement]:
    sampling = Sampling()
    for number, one in enumerate(faces):
        sampling.see(frame(number, grey), one)
    return sampling.result()[1]


CALM = [face()] * 30


def test_a_calm_face_is_good() -> None:
    assert [name for name, part in judged(list(CALM)).items() if not part.good] == []


@pytest.mark.parametrize(
    ("faces", "grey", "poor"),
    [
        ([*CALM[:20], *[None] * 10], 120, "seen"),
        ([face(where=pose(at=(320 + 3 * n, 220))) for n in range(30)], 120, "still"),
        ([face(where=pose(turn=(0, 0.5, 0)))] * 30, 120, "frontal"),
        ([face({"jawOpen": 0.6})] * 30, 120, "mouth"),
        (CALM, 20, "light"),
        (CALM, 250, "light"),
    ],
)
def test_what_is_poor_is_said(faces: list[FaceParams | None], grey: int, poor: str) -> None:
    found = judged(list(faces), grey)
    assert [name for name, part in found.items() if not part.good] == [poor]
    assert found[poor].advice


def test_too_few_faces_are_no_calibration() -> None:
    with pytest.raises(CameraError, match=f"a face in {FEWEST - 1} of 30 frames"):
        judged([*CALM[: FEWEST - 1], *[None] * (31 - FEWEST)])


def test_no_picture_is_kept() -> None:
    sampling = Sampling()
    for number in range(10):
        sampling.see(frame(number), face())
    sizes = [value.size for reading in sampling.readings for value in arrays(reading)]
    assert max(sizes) <= 478 * 3


def arrays(value: object) -> list[Pixels]:
    if isinstance(value, np.ndarray):
        return [value]
    fields = getattr(value, "__dataclass_fields__", {})
    return [found for name in fields for found in arrays(getattr(value, name))]


def test_a_face_outside_the_picture_has_no_brightness() -> None:
    assert brightness(frame(0), face(where=pose(at=(-3000, 100)))) == 0.0


def test_a_profile_is_kept_as_it_is() -> None:
    one = face({"browInnerUp": 0.2})
    neutral = estimate([(one.landmarks, one)] * 3)
    path = save_profile("me", neutral)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in profile_folder().iterdir()] == ["me.npz"]
    again = load_profile("me")
    np.testing.assert_array_equal(again.face, neutral.face)
    np.testing.assert_array_equal(again.expression, neutral.expression)
    assert again.strain == neutral.strain


def test_a_profile_of_when_x2face_saw_the_person_is_read() -> None:
    one = face()
    path = save_profile("me", estimate([(one.landmarks, one)]))
    with np.load(path) as data:
        kept = dict(data)
    np.savez(path, **kept, grid=np.zeros((128, 128, 2), np.float16))
    np.testing.assert_array_equal(load_profile("me").face, kept["face"])


def test_profiles_that_cannot_be_are_named() -> None:
    one = face()
    save_profile("me", estimate([(one.landmarks, one)]))
    with pytest.raises(SettingsError, match=r"no profile 'you' .*found: me"):
        load_profile("you")
    for name in ("../me", "", "a/b", "x" * 33):
        with pytest.raises(SettingsError, match="wanted 1 to 32"):
            load_profile(name)
    (profile_folder() / "me.npz").write_bytes(b"no npz")
    with pytest.raises(SettingsError, match="is damaged"):
        load_profile("me")
