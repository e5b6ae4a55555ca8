"""What the driving network says is taken against the person at rest."""

import numpy as np
import pytest
from faces import face
from poison import poisoned
from x2face_models import Network, Sees, aside, strained

from xpcam.x2face.driving import DrivingTracker, Rest
from xpcam.x2face.grids import CELLS, identity


def test_rest_is_what_calm_moments_have_in_common_until_somebody_else_comes() -> None:
    calm, tense = np.zeros(52, np.float32), np.ones(52, np.float32)
    rest = Rest()
    rest.difference(aside(0.4), tense)  # starts in mid-laugh
    for way in (0.1, 0.2, 0.3):
        rest.difference(aside(way), calm)
    assert float(rest.difference(aside(0.25), tense)[32, 32, 0]) == pytest.approx(0.05 + 1 / 64, abs=1e-5)
    network = Network(aside(0.1))
    tracker = DrivingTracker(
        Sees([face(), strained(), None, strained()]),
        network,
        smooth=False,
    )
    ways = []
    for sequence, at in enumerate((0.0, 0.1, 0.2, 5.0)):
        network.grid = aside(0.1 if sequence == 0 else 0.2)
        found = tracker.track(poisoned(sequence, at=at))
        ways.append(None if found is None or found.grid is None else float(found.grid[32, 32, 0] - 1 / 64))
    assert ways == [pytest.approx(0.0, abs=1e-5), pytest.approx(0.1, abs=1e-5), None, ways[1]]
    later = tracker.track(poisoned(1, at=11.0))
    assert later is not None and later.grid is not None
    np.testing.assert_allclose(later.grid, identity(CELLS), atol=1e-6)
