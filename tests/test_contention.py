"""Cores that others hold: read from the kernel, said by the governor, lowered for all the same."""

import sys
from pathlib import Path

import pytest
from controlled import controlled

from xpcam.commands.watching import rows
from xpcam.contention import Contention
from xpcam.control.metrics import metrics
from xpcam.governor import Governor


def test_the_share_is_of_what_came_since_it_was_last_asked(tmp_path: Path) -> None:
    source = tmp_path / "schedstat"
    contention = Contention(source)
    source.write_text("1000 500 7\n")
    assert contention.share() is None
    source.write_text("1600 900 9\n")
    assert contention.share() == pytest.approx(0.4)
    assert contention.share() == 0.0
    source.write_text("no numbers\n")
    assert contention.share() is None
    source.unlink()
    assert contention.share() is None


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it")
def test_this_system_says_it() -> None:
    contention = Contention()
    contention.share()
    assert sum(range(10**6)) > 0
    share = contention.share()
    assert share is not None
    assert 0 <= share < 1


@pytest.mark.parametrize(("held", "said"), [(0.5, True), (0.1, False), (None, False)])
def test_pictures_that_others_make_late_are_made_with_less_and_it_is_said(
    held: float | None, said: bool
) -> None:
    governor = Governor(30, lambda _: None, lambda: held)
    for number in range(60):
        governor.made(0.05, number * 0.05)
    assert governor.step > 0
    assert ("other programs held the cores for 50 %" in governor.state[1]) is said
    with controlled() as control:
        control.live.governor = governor
        status = control.status()
        assert status.quality is not None
        assert status.quality.held_by_others == held
        shown = dict(rows(status.model_dump()))["quality"]
        assert ("waits for a core 50 % of its time" in shown) is said
        assert ("xpcam_cores_held_ratio 0.5" in metrics(status, control.pipeline.meter)) is said
