"""Four renders of a drawn face against pictures that somebody looked at.

After a change that is meant to change renders, write them anew, look at them, and commit them with it:

    .venv/bin/python tests/test_golden.py --write
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import face, pose
from numpy.typing import NDArray

from xpcam.face import landmarks as face_landmarks
from xpcam.face.landmarks import FACE_OVAL, LEFT_BROW, LEFT_EYE, OUTER_LIPS, RIGHT_BROW, RIGHT_EYE
from xpcam.frame import FaceParams, Pixels
from xpcam.rendering.renderer import Renderer
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, Motion, Retargeter, observe
from xpcam.target import still as target

GOLDEN = Path(__file__).parent / "golden"
SIZE = (320, 240)
TILE = 20
HERE = pose(at=(160, 104), scale=88)  # where the target's face is
REST = Neutral(face_landmarks.unpose(face().landmarks, face().pose), pose())
PERSON: dict[str, FaceParams | None] = {
    "rest": None,
    "open-mouth": face({"jawOpen": 0.8}),
    "blink": face({"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}),
    "turn-and-smile": face({"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9}, pose(turn=(0.1, 0.4, 0.1))),
}


def drawn_face() -> Pixels:
    """A face of flat colours, which PNG holds in few bytes, under a net of lines that shows what moves."""
    params = face(where=HERE)
    picture = np.full((SIZE[1], SIZE[0], 3), (96, 80, 64), np.uint8)

    def contour(indices: tuple[int, ...]) -> NDArray[np.int32]:
        return np.round(params.landmarks[list(indices), :2] * 16).astype(np.int32)

    cv2.fillPoly(picture, [contour(FACE_OVAL)], (140, 170, 215), cv2.LINE_AA, 4)
    for at in range(10, SIZE[0], 20):
        cv2.line(picture, (at, 0), (at, SIZE[1]), (110, 120, 150))
        cv2.line(picture, (0, at), (SIZE[0], at), (110, 120, 150))
    for indices, colour in ((RIGHT_BROW, 40), (LEFT_BROW, 40), (RIGHT_EYE, 245), (LEFT_EYE, 245)):
        cv2.fillPoly(picture, [cv2.convexHull(contour(indices))], (colour,) * 3, cv2.LINE_AA, 4)
    for iris in (468, 473):
        x, y = params.landmarks[iris, :2]
        cv2.circle(picture, (round(x * 16), round(y * 16)), 16 * 4, (90, 40, 20), -1, cv2.LINE_AA, 4)
    cv2.fillPoly(picture, [contour(OUTER_LIPS)], (90, 80, 200), cv2.LINE_AA, 4)
    return picture


def rendered(name: str) -> Pixels:
    """A render, at half its size to be small in the repository."""
    one = target.prepare(drawn_face(), face(where=HERE), SIZE)
    person = PERSON[name]
    motion: Motion = STILL if person is None else observe(person, REST)
    full = Renderer(one).render(Retargeter(one.params, Gains()).apply(motion))
    return np.asarray(cv2.resize(full, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)


def tiles(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean of each TILE x TILE square."""
    height, width = values.shape
    squares = values.reshape(height // TILE, TILE, width // TILE, TILE)
    return np.asarray(squares.mean(axis=(1, 3)), np.float64)


@pytest.mark.parametrize("name", PERSON)
def test_a_render_is_the_one_that_was_approved(name: str) -> None:
    approved = cv2.imread(str(GOLDEN / f"{name}.png"))
    assert approved is not None, f"no picture of {name}: see the top of this file"
    off = np.abs(rendered(name).astype(int) - approved).max(axis=2)
    # Processors round differently; an eye or a mouth that fails fills a fifth of its tile.
    assert off.mean() <= 1.0
    assert (off > 24).mean() <= 0.01
    assert tiles(off.astype(float)).max() <= 3.0
    assert tiles((off > 24).astype(float)).max() <= 0.03


def test_the_pictures_differ_from_each_other() -> None:
    rest = rendered("rest").astype(int)
    for name in set(PERSON) - {"rest"}:
        assert tiles((np.abs(rendered(name) - rest).max(axis=2) > 24).astype(float)).max() > 0.1, name


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit(__doc__)
    for chosen in PERSON:
        cv2.imwrite(str(GOLDEN / f"{chosen}.png"), rendered(chosen), [cv2.IMWRITE_PNG_COMPRESSION, 9])
