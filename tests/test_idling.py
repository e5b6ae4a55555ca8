import numpy as np
import pytest

from xpcam.retargeting.idling import BLINK_EVERY, EASE_SECONDS, Presence, blink, idle_motion
from xpcam.retargeting.retargeter import STILL, Motion

OPEN = Motion(STILL.offsets + 0.1, STILL.lids * 0.5, STILL.turn + 0.2, STILL.shift, 0.0)


def test_it_blinks_fully_and_about_as_often_as_it_says() -> None:
    times = np.arange(0, 60, 1 / 100)
    shut = np.array([blink(at) for at in times])
    begins = ((shut[1:] > 0.5) & (shut[:-1] <= 0.5)).sum()
    assert 60 / BLINK_EVERY - 2 <= begins <= 60 / BLINK_EVERY + 2
    assert shut.max() > 0.99
    assert (shut == 0).mean() > 0.8


def test_it_breathes() -> None:
    turns = np.array([idle_motion(at).turn for at in np.arange(0, 8, 0.1)])
    assert np.ptp(turns[:, 0]) > 0.01
    assert np.abs(turns).max() < np.radians(5)


def test_coming_and_going_are_eased() -> None:
    presence = Presence()
    steps = [presence.motion(OPEN, at).offsets[0, 0] for at in np.arange(0, 2 * EASE_SECONDS, 1 / 30)]
    assert steps[0] == pytest.approx(0, abs=1e-6)
    assert steps[-1] == pytest.approx(0.1)
    assert max(np.diff(steps)) < 0.03
    gone = [presence.motion(None, 2 * EASE_SECONDS + at).offsets[0, 0] for at in np.arange(0, 1, 1 / 30)]
    assert gone[0] > 0.09
    assert gone[-1] < 0.01
    assert max(-np.diff(gone)) < 0.03


def test_it_can_follow_from_the_first_frame() -> None:
    presence = Presence()
    presence.enter()
    assert presence.motion(OPEN, 5.0) is OPEN
