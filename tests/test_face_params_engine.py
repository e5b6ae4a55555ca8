"""The shipped engines, on generated people who were kept out of training, and what training rests on."""

import subprocess
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from faces import face

from engines.face_params.patch_points import LEFT_POINTS, MOUTH_POINTS
from xpcam.face import landmarks as fl
from xpcam.frame import Frame, Pixels
from xpcam.inference.engine import Engine
from xpcam.resources import shipped
from xpcam.tracking.crops import CROP, crop_matrix, face_square
from xpcam.tracking.tracker import FaceTracker


@pytest.fixture(scope="module")
def engines() -> Iterator[tuple[Engine, Engine]]:
    with (
        Engine(shipped("face_params.onnx"), device="cpu") as landmarks,
        Engine(shipped("face_detector.onnx"), device="cpu") as detector,
    ):
        yield landmarks, detector


@pytest.fixture
def tracker(engines: tuple[Engine, Engine]) -> FaceTracker:
    return FaceTracker(*engines, smooth=False)


@pytest.fixture(scope="module")
def portrait() -> Pixels:
    """A generated person of the openpeople package, whom no network was trained on."""
    openpeople = pytest.importorskip("openpeople", reason="needs the package openpeople (extra demo)")
    picture = cv2.imread(str(openpeople.curated.get("P009").asset_path("studio_portrait")), cv2.IMREAD_COLOR)
    assert picture is not None
    scale = 1000 / max(picture.shape)
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), np.uint8)


def test_the_engines_say_what_they_are(engines: tuple[Engine, Engine]) -> None:
    for engine, name in zip(engines, ("face_params", "face_detector"), strict=True):
        assert engine.metadata["name"] == name
        assert engine.metadata["licence"] == "Apache-2.0"
        assert engine.metadata["version"]
        assert "BGR" in engine.metadata["input"]


def test_the_engines_keep_their_contract(engines: tuple[Engine, Engine]) -> None:
    landmarks, detector = engines
    assert str(landmarks.inputs["image"]) == "uint8 (1, 256, 256, 3)"
    assert str(landmarks.outputs["landmarks"]) == "float32 (1, 478, 3)"
    assert str(landmarks.outputs["confidence"]) == "float32 (1,)"
    assert str(detector.inputs["image"]) == "uint8 (1, 320, 320, 3)"
    assert str(detector.outputs["score"]) == "float32 (1, 1, 40, 40)"
    assert str(detector.outputs["geometry"]) == "float32 (1, 5, 40, 40)"


def test_the_engines_stay_small() -> None:
    sizes = [shipped(name).stat().st_size for name in ("face_params.onnx", "face_detector.onnx")]
    assert sum(sizes) < 14e6


def test_a_face_is_located_once_and_looks_like_a_face(tracker: FaceTracker, portrait: Pixels) -> None:
    (params,) = tracker.locate(portrait)
    assert params.confidence > 0.8
    eyes, mouth = params.landmarks[list(fl.EYE_CORNERS), :2], params.landmarks[list(fl.MOUTH_CORNERS), :2]
    assert eyes[0, 0] < eyes[1, 0]
    assert mouth[:, 1].mean() > eyes[:, 1].mean() + 0.5 * params.pose.scale
    assert (params.landmarks[:, :2] > 0).all()
    assert (params.landmarks[:, :2] < portrait.shape[1::-1]).all()


@pytest.mark.parametrize("height", [90, 200, 500])
def test_a_face_of_any_size_is_found_in_a_frame(tracker: FaceTracker, portrait: Pixels, height: int) -> None:
    (whole,) = tracker.locate(portrait)
    centre, side, _ = face_square(whole.landmarks)
    zoom = height / side
    frame = np.full((720, 1280, 3), 90, np.uint8)
    small = cv2.resize(portrait, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)[:720, :1280]
    frame[: small.shape[0], 100 : 100 + small.shape[1]] = small[:, : 1280 - 100]
    params = tracker.track(Frame(frame, 0, 0.0))
    assert params is not None
    found, found_side, _ = face_square(params.landmarks)
    np.testing.assert_allclose(found, centre * zoom + (100, 0), atol=0.06 * height)
    assert found_side == pytest.approx(height, rel=0.1)


def test_a_tilted_head_is_followed_upright(tracker: FaceTracker, portrait: Pixels) -> None:
    (upright,) = tracker.locate(portrait)
    height, width = portrait.shape[:2]
    centre = tuple(float(v) for v in face_square(upright.landmarks)[0])
    tilted = cv2.warpAffine(portrait, cv2.getRotationMatrix2D(centre, -20.0, 1.0), (width, height))
    (params,) = tracker.locate(np.asarray(tilted, np.uint8))
    assert np.degrees(face_square(params.landmarks)[2]) == pytest.approx(20, abs=4)


def test_two_faces_are_both_located(tracker: FaceTracker, portrait: Pixels) -> None:
    half = cv2.resize(portrait, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    side_by_side = np.hstack([half, half])
    assert len(tracker.locate(np.asarray(side_by_side, np.uint8))) == 2


@pytest.mark.parametrize("seed", range(12))
def test_no_face_in_pictures_without_one(tracker: FaceTracker, seed: int) -> None:
    rng = np.random.default_rng(seed)
    cells = int(2 ** rng.uniform(1, 7))
    picture = cv2.resize(rng.integers(0, 256, (cells, cells, 3), np.uint8), (640, 480))
    for x, y in rng.integers(0, 480, (8, 2)).tolist():
        cv2.circle(picture, (x, y), 30, rng.integers(0, 255, 3).tolist(), -1)
    assert tracker.locate(np.asarray(picture, np.uint8)) == []


def test_landmarks_hardly_depend_on_where_the_crop_lies(
    engines: tuple[Engine, Engine], portrait: Pixels
) -> None:
    tracker = FaceTracker(*engines, smooth=False)
    (params,) = tracker.locate(portrait)
    centre, side, roll = face_square(params.landmarks)
    places = []
    for shift in (-0.04, 0.0, 0.04):
        matrix = crop_matrix(centre + np.float32(shift * side), side, roll)
        crop = cv2.warpAffine(portrait, matrix, (CROP, CROP))
        landmarks = engines[0].run({"image": crop[None]})["landmarks"][0]
        places.append((landmarks[:, :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T)
    spread = np.linalg.norm(np.array(places) - np.mean(places, axis=0), axis=2).mean()
    assert spread < 0.03 * params.pose.scale


def test_patches_hold_what_they_must() -> None:
    lips = set(fl.INNER_LIPS) | set(fl.OUTER_LIPS)
    eye = set(fl.LEFT_EYE) | set(fl.LEFT_BROW) | set(fl.LEFT_IRIS)
    assert lips <= set(MOUTH_POINTS)
    assert eye <= set(LEFT_POINTS)
    mirrored = {int(fl.face_mesh().mirror[i]) for i in LEFT_POINTS}
    assert not mirrored & set(LEFT_POINTS)
    assert not (mirrored | set(LEFT_POINTS)) & set(MOUTH_POINTS)


def test_measures_of_expression_see_what_they_name() -> None:
    from engines.face_params.evaluate import MEASURES, expression

    calm, jaw, blink = (face(weights).landmarks for weights in ({}, {"jawOpen": 0.8}, _both("eyeBlink")))
    before, opened, shut = expression(np.stack([calm, jaw, blink])).T
    assert opened[MEASURES.index("lip_opening")] > before[MEASURES.index("lip_opening")] + 0.1
    assert shut[MEASURES.index("eye_opening")] < before[MEASURES.index("eye_opening")] - 0.03


def _both(name: str) -> dict[str, float]:
    return {f"{name}Left": 1.0, f"{name}Right": 1.0}


@pytest.mark.parametrize("module", ["train", "export", "check_detection"])
def test_commands_explain_themselves(module: str) -> None:
    pytest.importorskip("torch", reason="needs PyTorch (extra train)")
    command = [sys.executable, "-m", f"engines.face_params.{module}", "--help"]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "--data" in result.stdout or "--checkpoint" in result.stdout
