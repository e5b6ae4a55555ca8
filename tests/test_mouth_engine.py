"""The mouth engine that ships: what it is, and what it makes of mouths that the program draws."""

from collections.abc import Iterator

import numpy as np
import pytest
from faces import face, portrait, pose
from test_mouth import SHUT, SMILE, WIDE, filled, grey, within

from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.style import LUMA
from xpcam.resources import shipped

SPEECH = face({"jawOpen": 0.35, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3})


@pytest.fixture(scope="module")
def engine() -> Iterator[MouthEngine]:
    one = MouthEngine(shipped("mouth.onnx"), device="cpu", threads=1)
    yield one
    one.close()


def test_the_engine_says_what_it_is_and_stays_small(engine: MouthEngine) -> None:
    assert engine.engine.metadata["name"] == "mouth"
    assert engine.engine.metadata["licence"] == "Apache-2.0"
    assert engine.engine.metadata["version"]
    assert shipped("mouth.onnx").stat().st_size < 0.7e6


def brightness(shown: FaceParams, engine: MouthEngine | None, picture: Pixels | None = None) -> Floats:
    output, mask = filled(shown, picture=picture, engine=engine)
    return within(output, mask) @ LUMA


def test_a_smile_is_brighter_than_it_was_drawn(engine: MouthEngine) -> None:
    assert np.median(brightness(SMILE, engine)) > np.median(brightness(SMILE, None)) + 5


def test_a_wide_mouth_stays_dark_inside_with_bright_teeth(engine: MouthEngine) -> None:
    bright = brightness(WIDE, engine)
    assert np.percentile(bright, 30) < 75
    assert np.percentile(bright, 97) > np.percentile(bright, 30) + 40


def test_the_colours_follow_the_picture(engine: MouthEngine) -> None:
    dim = brightness(SMILE, engine, portrait(SHUT) // 2).mean()
    assert dim < 0.75 * brightness(SMILE, engine).mean()
    output, mask = filled(SMILE, picture=grey(portrait(SHUT)), engine=engine)
    assert np.ptp(within(output, mask), axis=1).max() <= 4


def test_a_mouth_that_moves_by_a_hair_looks_the_same(engine: MouthEngine) -> None:
    first, mask = filled(SPEECH, engine=engine)
    near = face(
        {"jawOpen": 0.352, "mouthLowerDownLeft": 0.3, "mouthLowerDownRight": 0.3}, pose(turn=(0, 0.002, 0))
    )
    second, _ = filled(near, engine=engine)
    assert np.abs(within(first, mask) - within(second, mask)).mean() < 3
