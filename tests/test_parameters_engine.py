"""What the engine says a face is made of, on expressions of generated people kept out of training."""

from functools import cache

import cv2
import numpy as np
import pytest

from xpcam.face.model import ARKIT, face_model, normals, shading
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.inference.engine import Engine
from xpcam.resources import shipped
from xpcam.tracking.tracker import FaceTracker

PEOPLE = ("P008", "P009", "P010")
CELLS = {  # row and column on the sheet of expressions
    "neutral": (0, 0), "happy": (0, 1), "angry": (0, 3),
    "surprised": (1, 0), "exhausted": (3, 0), "shocked": (3, 1),
}  # fmt: skip


@cache
def sheet(person: str) -> Pixels:
    openpeople = pytest.importorskip("openpeople", reason="needs the package openpeople (extra demo)")
    picture = cv2.imread(str(openpeople.curated.get(person).asset_path("emotions_sheet")), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


@cache
def tracker() -> FaceTracker:
    landmarks, detector = (
        Engine(shipped(f"{name}.onnx"), device="cpu") for name in ("face_params", "face_detector")
    )
    return FaceTracker(landmarks, detector, smooth=False)


@cache
def read(person: str, expression: str) -> FaceParams:
    whole = sheet(person)
    row, column = CELLS[expression]
    height, width = whole.shape[0] // 4, whole.shape[1] // 4
    cell = whole[row * height + 12 : row * height + 370, column * width + 30 : (column + 1) * width - 30]
    tracker().reset()
    face = tracker().track(Frame(np.ascontiguousarray(cell), 0, 0.0))
    assert face is not None
    return face


def weight(person: str, expression: str, *names: str) -> float:
    """The mean weight of some blend shapes."""
    return float(np.mean([read(person, expression).expression[ARKIT.index(name)] for name in names]))


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(
    ("expression", "names", "more"),
    [
        ("happy", ("mouthSmileLeft", "mouthSmileRight"), 0.25),
        ("surprised", ("jawOpen",), 0.08),
        ("shocked", ("jawOpen",), 0.15),
        ("exhausted", ("eyeBlinkLeft", "eyeBlinkRight"), 0.1),
    ],
)
def test_an_expression_has_its_blend_shapes(
    person: str, expression: str, names: tuple[str, ...], more: float
) -> None:
    assert weight(person, expression, *names) > weight(person, "neutral", *names) + more


@pytest.mark.parametrize("person", PEOPLE)
def test_angry_brows_are_lower(person: str) -> None:
    angry, neutral = (
        weight(person, expression, "browDownLeft", "browDownRight")
        - weight(person, expression, "browInnerUp")
        for expression in ("angry", "neutral")
    )
    assert angry > neutral + 0.15


@pytest.mark.parametrize("person", PEOPLE)
def test_weights_are_weights(person: str) -> None:
    face = read(person, "shocked")
    assert face.expression.shape == (52,)
    assert ((face.expression >= 0) & (face.expression <= 1)).all()


def test_expressions_change_a_shape_no_more_than_people_differ() -> None:
    """Over three expressions each; in the landmarks, for weak components say little. So rough it is."""
    shapes, kinds = face_model().landmark_identity, ("neutral", "happy", "shocked")
    rows = np.array(
        [[np.tensordot(appearance(person, kind)[0], shapes, axes=1) for kind in kinds] for person in PEOPLE]
    )[..., :2]
    middle = rows.mean(axis=1, keepdims=True)
    within = np.linalg.norm(rows - middle, axis=-1).mean()
    between = np.linalg.norm(middle - middle.mean(axis=0), axis=-1).mean()
    assert within < 1.1 * between


@pytest.mark.parametrize("person", PEOPLE)
def test_texture_and_light_together_are_the_skin_that_is_seen(person: str) -> None:
    model, face = face_model(), read(person, "neutral")
    _, texture, lighting = appearance(person, "neutral")
    cheeks = [50, 280]
    corners = model.triangles[model.landmark_triangle[cheeks]]
    light = shading(normals(model.mean, model.triangles)[corners], lighting)
    told = (model.colours(texture)[corners] * light).mean(axis=(0, 1))
    cell = sheet(person)[12:370, 30:570]
    seen = [cell[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5] for x, y in face.landmarks[cheeks, :2]]
    np.testing.assert_allclose(told, np.mean(seen, axis=(0, 1, 2)) / 255, atol=0.18)


def appearance(person: str, expression: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Identity, texture and light as the engine says them."""
    looks = read(person, expression).appearance
    assert looks is not None
    return looks.identity, looks.texture, looks.lighting
