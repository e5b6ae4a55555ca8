"""What the driving network says is taken against the person at rest, which the neutral face holds."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import face
from x2face_models import aside, strained

from xpcam.face.embedded_face import canonical
from xpcam.frame import FaceParams, Floats
from xpcam.retargeting.neutral import NeutralFinder
from xpcam.retargeting.profile import load_profile, save_profile
from xpcam.retargeting.resting_grid import resting, since_rest
from xpcam.retargeting.retargeter import observe
from xpcam.warping.grids import CELLS, identity

INNER = np.s_[16:-16, 16:-24]


def driving(person: FaceParams, way: float) -> FaceParams:
    return replace(person, grid=aside(way))


def moved(person: FaceParams, finder: NeutralFinder, at: float) -> Floats:
    neutral = finder.update(person, at)
    assert neutral is not None
    grid = observe(person, neutral).grid
    assert grid is not None
    return grid - identity(CELLS)


def against_rest(grid: Floats) -> Floats:
    moved = since_rest(grid, resting(grid[None]))
    assert moved is not None
    return moved - identity(CELLS)


def test_rest_is_what_calm_moments_say_and_is_learned_anew_on_request() -> None:
    finder = NeutralFinder()
    for number in range(20):
        moved(driving(face(), 0.1), finder, number / 30)
    still = moved(driving(face(), 0.1), finder, 0.7)
    np.testing.assert_allclose(still[INNER], 0.0, atol=2e-3)
    strange = moved(driving(strained(), 0.2), finder, 0.8)
    np.testing.assert_allclose(strange[INNER][..., 0], 0.1, atol=4e-3)
    finder.forget()  # SIGUSR1
    again = moved(driving(face(), 0.2), finder, 0.9)
    np.testing.assert_allclose(again[INNER], 0.0, atol=2e-3)


def test_without_the_other_engine_there_is_no_grid() -> None:
    finder = NeutralFinder()
    neutral = finder.update(face(), 0.0)
    assert neutral is not None and neutral.grid is None
    assert observe(driving(face(), 0.1), neutral).grid is None


def test_a_profile_keeps_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    neutral = NeutralFinder().update(driving(face(), 0.1), 0.0)
    assert neutral is not None and neutral.grid is not None
    save_profile("me", neutral)
    kept = load_profile("me").grid
    assert kept is not None
    np.testing.assert_allclose(kept, neutral.grid, atol=1e-3)
    today = NeutralFinder().update(driving(face(), 0.2), 0.0)
    assert today is not None
    turned = today.of(load_profile("me")).grid  # framed as today
    assert turned is not None and today.grid is not None
    np.testing.assert_allclose(turned[24:-24, 40:-24], today.grid[24:-24, 40:-24], atol=2e-3)
    assert today.of(replace(neutral, grid=None)).grid is today.grid  # calibrated with the other engine


def test_lips_that_rest_shut_are_shut_not_at_rest() -> None:
    still, mouth = identity(CELLS), canonical()[[13, 14]].mean(axis=0)
    away = (still - mouth) / np.array([0.12, 0.05], np.float32)
    shutting = (
        0.02 * np.tanh(away[..., 1] * 4) * np.exp(-(away**2).sum(-1))
    )  # lips are taken from further apart
    shut = still.copy()
    shut[..., 1] += shutting
    row, column = (int((value + 1) * CELLS / 2) for value in mouth[::-1])
    at_rest = against_rest(shut)
    assert at_rest[row + 2, column, 1] > 0.005 > -0.005 > at_rest[row - 3, column, 1]
    brows = still.copy()
    brows[40:60, :, 1] += 0.01
    assert np.abs(against_rest(brows))[42:58].max() < 4e-3
