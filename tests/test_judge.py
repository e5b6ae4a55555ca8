"""The judge of `make evaluate`: its views are moved, and what is read in them is moved back and averaged."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.judge import Judge, held_still
from xpcam.face.landmarks import face_mesh

SPOTS = np.array([(60.0, 50.0), (120.0, 60.0), (90.0, 110.0)], np.float32)
COLOURS = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def spotted(spots: Floats = SPOTS) -> Pixels:
    picture = np.zeros((160, 180, 3), np.uint8)
    for spot, colour in zip(spots, COLOURS, strict=True):
        cv2.circle(picture, tuple(np.round(spot).astype(int).tolist()), 4, colour, -1)
    return picture


class Spots:
    """Reads where the spots are, each reading off by another amount."""

    def __init__(self, error: float = 0.0) -> None:
        self.pictures: list[Pixels] = []
        self._rng, self._error = np.random.default_rng(0), error

    def __call__(self, picture: Pixels) -> Floats | None:
        self.pictures.append(picture)
        found = []
        for channel in range(3):
            rows, columns = np.nonzero(picture[..., channel] > 128)
            if not len(rows):
                return None
            found.append((columns.mean(), rows.mean()))
        return np.array(found, np.float32) + self._rng.normal(0, self._error, 2)


def test_readings_come_back_to_the_picture() -> None:
    face = Judge(Spots()).read(spotted())
    assert face is not None
    assert np.abs(face - SPOTS).max() < 0.5


def test_views_differ_and_their_errors_average_out() -> None:
    faces = [Judge(Spots(8.0), views).read(spotted()) for views in (1, 32)]
    once, many = (np.abs(face - SPOTS).mean() for face in faces if face is not None)
    assert many < once / 1.5
    reader = Spots()
    Judge(reader, 3).read(spotted())
    views = reader.pictures[1:]
    assert len(views) == 3
    assert not (views[0] == views[1]).all()


def test_views_lie_still_under_a_small_movement_and_follow_a_large_one() -> None:
    reader = Spots()
    judge = Judge(reader, 1)
    for shift in (0.0, 2.0, 12.0, 12.0):
        judge.read(spotted(SPOTS + np.float32(shift)))
    first, second, third, fourth = reader.pictures[1:]
    assert not (first == second).all()  # the face moved in a view that did not
    moved, followed = Spots()(third), Spots()(fourth)
    assert moved is not None
    assert followed is not None
    assert np.abs(moved - followed).max() > 10


def test_no_face_is_none_and_it_looks_again() -> None:
    judge = Judge(Spots())
    assert judge.read(np.zeros((160, 180, 3), np.uint8)) is None
    assert judge.read(spotted()) is not None
    assert judge.read(np.zeros((160, 180, 3), np.uint8)) is None
    assert judge.read(spotted()) is not None


def test_what_a_person_holds_still_is_not_judged() -> None:
    frames = np.linspace(0, 12, 60, dtype=np.float32)[:, None]
    person = np.repeat(face_mesh().neutral[None, :, :2], 60, axis=0) * np.float32(100)
    person[:, 13] += np.concatenate([np.zeros_like(frames), np.sin(frames) * 5], axis=1)
    person[7] = np.nan  # a frame without a face
    assert held_still(person) == ["lip_width", "eye_opening", "brow_height"]
    person[:, [105, 334]] += np.concatenate([np.zeros_like(frames), np.sin(frames) * 2], axis=1)[:, None]
    assert held_still(person) == ["lip_width", "eye_opening"]
