"""A tongue that is out lies on the lower lip, in the colours that the mouth engine gives the inside."""

import dataclasses

import cv2
import numpy as np
import pytest
from faces import face, portrait
from test_mouth import SHUT, WIDE, filled, within

from xpcam.face.landmarks import INNER_LIPS
from xpcam.face.model import TONGUE_OUT
from xpcam.frame import FaceParams
from xpcam.mouth.engine import GRID, carried_on
from xpcam.mouth.proxy import CROP


def sticking_out(shown: FaceParams, tongue: float = 1.0) -> FaceParams:
    expression = np.zeros(52, np.float32)
    expression[TONGUE_OUT] = tongue
    return dataclasses.replace(shown, expression=expression)


def test_the_tongue_comes_forward() -> None:
    out, mask = filled(sticking_out(WIDE, 0.6))
    rest, _ = filled(WIDE)
    tongue, at_rest = (within(shown, mask) for shown in (out, rest))
    assert (tongue[:, 2] - tongue[:, 0]).mean() > (at_rest[:, 2] - at_rest[:, 0]).mean() + 5


@pytest.mark.parametrize(("target", "jaw"), [(SHUT, 0.9), (SHUT, 0.4), (WIDE, 0.9)])
def test_a_tongue_that_is_out_lies_on_the_lower_lip_and_on_nothing_else(
    target: FaceParams, jaw: float
) -> None:
    shown = face({"jawOpen": jaw})
    picture = portrait(target)
    out, mask = filled(sticking_out(shown), target, picture)
    beside = cv2.dilate(mask, np.ones((9, 9))) == 0
    changed = (np.abs(out.astype(int) - picture).max(axis=2) > 12) & beside
    lower, border = (round(float(shown.landmarks[point, 1])) for point in (14, 17))
    rows, columns = np.nonzero(changed)
    assert rows.min() > lower - 0.3 * mask.sum(axis=0).max()
    assert border - 3 < rows.max() < border + 1.5 * (border - lower)
    lips = shown.landmarks[list(INNER_LIPS), 0]
    assert lips.min() < columns.min() < columns.max() < lips.max()
    middle = round(float(shown.landmarks[14, 0]))
    on_lip = out[lower + 4 : border, middle].astype(int)
    assert (on_lip[:, 2] > on_lip[:, 0] + 10).all()  # red without a gap, as far as the lip reaches


def test_a_tongue_still_behind_the_teeth_changes_no_lip() -> None:
    a_little, mask = filled(sticking_out(WIDE, 0.2))
    changed = np.abs(a_little.astype(int) - portrait(SHUT)).max(axis=2) > 6
    assert not changed[cv2.dilate(mask, np.ones((13, 13))) == 0].any()


def test_what_an_engine_says_goes_on_where_a_tongue_does() -> None:
    transfer = np.full((GRID, GRID, 6), 200, np.float32)
    opened, cover = np.zeros((CROP, CROP), np.float32), np.zeros((CROP, CROP), np.float32)
    opened[40:70, 30:100], cover[68:90, 50:80] = 1, 1
    transfer[20:35, 15:50] = 100  # what it says within the lips
    carried = carried_on(transfer, opened, cover)
    assert np.allclose(carried[36:43, 26:39], 100, atol=2)
    assert np.allclose(carried[22:30, 18:46], 100, atol=1e-3)
