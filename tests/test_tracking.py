"""Tracking with engines that see a coloured disc as a face, and the smoothing of what is tracked."""

import itertools

import cv2
import numpy as np
import pytest
from faces import face, pose
from numpy.typing import NDArray

from xpcam.face import landmarks as fl
from xpcam.frame import Floats, Frame, Pixels
from xpcam.tracking.crops import CROP, crop_matrix, cut, face_square, invert, transform
from xpcam.tracking.detection import SIDE, STRIDE, FaceDetector
from xpcam.tracking.tracker import HOLD, LOOK_AROUND, SEARCH_EVERY, FaceTracker

RED = (30, 30, 220)
SHAPE = transform(fl.face_mesh().neutral, np.array([[90, 0, 128], [0, 90, 100]], np.float32))
LANDMARK_SIDE = face_square(SHAPE)[1]


class DiscEngine:
    """Landmarks at the red disc of a crop; confident when there is one."""

    def __init__(self, drift: float = 0.0) -> None:
        self.runs = 0
        self._drift = itertools.cycle((drift, -drift))

    def run(self, inputs: dict[str, NDArray[np.uint8]]) -> dict[str, Floats]:
        self.runs += 1
        place, radius = red_disc(inputs["image"][0])
        landmarks = SHAPE.copy()
        if radius > 0:
            scale = 2 * radius / LANDMARK_SIDE
            landmarks = (landmarks - np.append(face_square(SHAPE)[0], 0)) * scale + np.append(place, 0)
        landmarks[:, 0] += next(self._drift)
        confidence = 0.97 if radius > 20 else 0.03
        return {
            "landmarks": landmarks[None].astype(np.float32),
            "confidence": np.array([confidence], np.float32),
            "expression": np.full((1, 52), radius / 100, np.float32),
            "identity": np.zeros((1, 80), np.float32),
            "texture": np.ones((1, 80), np.float32),
            "lighting": np.ones((1, 9, 3), np.float32),
        }


class DiscDetector:
    """A peak at each red disc of the letterboxed picture."""

    def __init__(self) -> None:
        self.runs = 0

    def run(self, inputs: dict[str, NDArray[np.uint8]]) -> dict[str, Floats]:
        self.runs += 1
        cells = SIDE // STRIDE
        score, geometry = np.zeros((cells, cells), np.float32), np.zeros((5, cells, cells), np.float32)
        geometry[4] = 1.0
        mask = red_mask(inputs["image"][0])
        count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
        for i in range(1, count):
            x, y = centres[i]
            column, row = int((x + 0.5) / STRIDE), int((y + 0.5) / STRIDE)
            score[row, column] = 0.9
            geometry[:2, row, column] = (x + 0.5) / STRIDE - 0.5 - column, (y + 0.5) / STRIDE - 0.5 - row
            geometry[2, row, column] = np.log(stats[i, cv2.CC_STAT_WIDTH] / 32)
        return {"score": score[None, None], "geometry": geometry[None]}


def red_mask(pixels: Pixels) -> NDArray[np.uint8]:
    return np.asarray((pixels[..., 2] > 150) & (pixels[..., 0] < 100), np.uint8)


def red_disc(pixels: Pixels) -> tuple[Floats, float]:
    rows, columns = np.nonzero(red_mask(pixels))
    if len(rows) < 30:
        return np.zeros(2, np.float32), 0.0
    return np.array([columns.mean(), rows.mean()], np.float32), float(np.sqrt(len(rows) / np.pi))


def scene(*discs: tuple[int, int, int], size: tuple[int, int] = (640, 360)) -> Pixels:
    """A grey picture with red discs (x, y, radius)."""
    picture = np.full((size[1], size[0], 3), 120, np.uint8)
    for x, y, radius in discs:
        cv2.circle(picture, (x, y), radius, RED, -1)
    return picture


def frames(*pictures: Pixels) -> list[Frame]:
    return [Frame(picture, i, i / 30) for i, picture in enumerate(pictures)]


def tracker(drift: float = 0.0, smooth: bool = False) -> tuple[FaceTracker, DiscEngine, DiscDetector]:
    landmarks, detector = DiscEngine(drift), DiscDetector()
    return FaceTracker(landmarks, detector, smooth=smooth), landmarks, detector


def middle_of(landmarks: Floats) -> Floats:
    return face_square(landmarks)[0]


@pytest.mark.parametrize("at", [(160.0, 120.0), (12.0, 230.0), (-90.0, 400.0)])
def test_a_cut_is_what_opencv_cuts_of_the_whole_picture(at: tuple[float, float]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    picture = np.asarray(cv2.GaussianBlur(noise, (0, 0), 3), np.uint8)
    matrix = crop_matrix(np.array(at, np.float32), 130.0, 0.3)
    whole = cv2.warpAffine(
        picture, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    assert np.abs(cut(picture, matrix, CROP)[..., :3].astype(int) - whole).max() <= 1


def test_a_crop_maps_forth_and_back() -> None:
    matrix = crop_matrix(np.array([400.0, 300.0], np.float32), 200.0, 0.4)
    landmarks = face({}, pose(turn=(0, 0, 0.4), at=(400, 300), scale=90)).landmarks
    back = transform(transform(landmarks, matrix), invert(matrix))
    np.testing.assert_allclose(back, landmarks, atol=0.01)


def test_a_crop_takes_the_roll_out_and_centres_the_face() -> None:
    landmarks = face({}, pose(turn=(0, 0, 0.5), at=(400, 300), scale=90)).landmarks
    cut = transform(landmarks, crop_matrix(*face_square(landmarks)))
    eyes = cut[263, :2] - cut[33, :2]
    assert abs(eyes[1]) < 0.01 * eyes[0]
    low, high = cut[: fl.FACE_POINTS, :2].min(axis=0), cut[: fl.FACE_POINTS, :2].max(axis=0)
    np.testing.assert_allclose((low + high) / 2, (CROP - 1) / 2, atol=0.05)
    assert (high - low).max() == pytest.approx(CROP / 1.5, abs=0.1)


@pytest.mark.parametrize("size", [(1280, 720), (640, 480), (300, 400)])
def test_the_detector_gives_places_in_the_picture(size: tuple[int, int]) -> None:
    picture = scene((size[0] // 3, size[1] // 2, 60), size=size)
    (found,) = FaceDetector(DiscDetector()).detect(picture)
    np.testing.assert_allclose(found.centre, (size[0] // 3, size[1] // 2), atol=2)
    assert found.side == pytest.approx(121, rel=0.06)


def test_a_face_is_found_and_followed() -> None:
    subject, _, detector = tracker()
    for frame in frames(*(scene((200 + 8 * i, 150, 60)) for i in range(10))):
        params = subject.track(frame)
        assert params is not None
        np.testing.assert_allclose(middle_of(params.landmarks), (200 + 8 * frame.sequence, 150), atol=1.5)
        assert params.confidence > 0.9
    assert detector.runs == 1


def test_a_face_that_jumps_is_read_again_where_it_is() -> None:
    subject, engine, _ = tracker()
    first, second = frames(scene((200, 150, 60)), scene((230, 150, 60)))
    subject.track(first)
    runs = engine.runs
    subject.track(second)
    assert engine.runs == runs + 2


def test_no_face_gives_none_and_is_not_searched_in_every_frame() -> None:
    subject, _, detector = tracker()
    assert [subject.track(frame) for frame in frames(*[scene()] * 9)] == [None] * 9
    assert detector.runs == 9 // SEARCH_EVERY


def test_a_face_hidden_for_a_moment_stays_and_one_that_left_is_dropped() -> None:
    subject, _, _ = tracker()
    seen, *hidden = frames(scene((200, 150, 60)), *[scene()] * (HOLD + 3))
    before = subject.track(seen)
    assert before is not None
    results = [subject.track(frame) for frame in hidden]
    assert all(result is before for result in results[:HOLD])
    assert results[HOLD:] == [None] * 3


def test_a_face_that_comes_back_is_found_again() -> None:
    subject, _, _ = tracker()
    gone, back = [scene()] * (HOLD + 2), [scene((500, 200, 50))] * (SEARCH_EVERY + 1)
    *_, last = (subject.track(frame) for frame in frames(scene((200, 150, 60)), *gone, *back))
    assert last is not None
    np.testing.assert_allclose(middle_of(last.landmarks), (500, 200), atol=1.5)


def test_offline_nothing_stale_is_told_and_no_frame_goes_unsearched() -> None:
    subject = FaceTracker(DiscEngine(), DiscDetector(), smooth=False, hold=0, search_every=1)
    here, there, empty = scene((200, 150, 60)), scene((500, 200, 50)), scene()
    told = [subject.track(frame) for frame in frames(empty, here, empty, there, empty, here, there)]
    assert [params is not None for params in told] == [False, True, False, True, False, True, True]
    assert told[-1] is not None  # a cut from one place to another costs no frame
    np.testing.assert_allclose(middle_of(told[-1].landmarks), (500, 200), atol=1.5)


def test_somebody_nearer_takes_over_from_a_face_on_a_poster() -> None:
    subject, _, _ = tracker()
    poster, both = (100, 100, 40), scene((100, 100, 40), (420, 180, 90))
    pictures = [scene(poster)] * 10 + [both] * int(30 * LOOK_AROUND + 5)
    told = [subject.track(frame) for frame in frames(*pictures)]
    assert told[12] is not None
    assert told[-1] is not None
    np.testing.assert_allclose(middle_of(told[12].landmarks), (100, 100), atol=2)
    np.testing.assert_allclose(middle_of(told[-1].landmarks), (420, 180), atol=2)


def test_somebody_farther_away_does_not() -> None:
    subject, _, _ = tracker()
    both = scene((420, 180, 90), (100, 100, 70))
    told = [subject.track(frame) for frame in frames(*[both] * int(60 * LOOK_AROUND))]
    assert all(params is not None and middle_of(params.landmarks)[0] > 300 for params in told)


def test_reset_forgets_the_face() -> None:
    subject, _, _ = tracker()
    subject.track(frames(scene((200, 150, 60)))[0])
    subject.reset()
    assert subject.track(frames(scene())[0]) is None


def test_locate_gives_all_faces_the_largest_first() -> None:
    found = tracker()[0].locate(scene((120, 180, 40), (420, 180, 80)))
    assert [round(float(middle_of(params.landmarks)[0]), -1) for params in found] == [420, 120]


def test_a_detection_the_landmark_network_denies_is_no_face() -> None:
    class Timid(DiscEngine):
        def run(self, inputs: dict[str, NDArray[np.uint8]]) -> dict[str, Floats]:
            return super().run(inputs) | {"confidence": np.array([0.2], np.float32)}

    assert FaceTracker(Timid(), DiscDetector()).locate(scene((200, 150, 60))) == []


def test_a_face_whose_landmarks_wander_is_no_face() -> None:
    assert tracker(drift=0.5)[0].locate(scene((200, 150, 60)))
    assert tracker(drift=9.0)[0].locate(scene((200, 150, 60))) == []


def test_a_large_face_is_shrunk_without_skipping_pixels() -> None:
    class Keeps(DiscEngine):
        crop: Pixels

        def run(self, inputs: dict[str, NDArray[np.uint8]]) -> dict[str, Floats]:
            self.crop = inputs["image"][0].copy()
            return super().run(inputs)

    engine = Keeps()
    picture = scene((640, 360, 330), size=(1280, 720))
    picture[..., 1] = np.random.default_rng(2).integers(0, 255, picture.shape[:2])
    FaceTracker(engine, DiscDetector()).locate(picture)
    assert engine.crop[100:150, 100:150, 1].std() < 0.45 * picture[..., 1].std()  # linear sampling alone: 0.6


def test_the_groups_of_the_engine_travel_along() -> None:
    subject, *_ = tracker(smooth=False)
    params = subject.track(frames(scene((200, 150, 60)))[0])
    assert params is not None
    assert 0.1 < params.expression[0] == params.expression[51]
    assert params.appearance is not None
    assert params.appearance.lighting.shape == (9, 3)
    assert params.appearance.texture[0] == 1.0


def test_the_tracker_smooths_when_asked() -> None:
    subject, *_ = tracker(smooth=True)
    shaking = [scene((200 + (i % 2) * 3, 150, 60)) for i in range(30)]
    places = [subject.track(frame) for frame in frames(*shaking)]
    across = [middle_of(params.landmarks)[0] for params in places[15:] if params is not None]
    assert np.ptp(across) < 2.5
