"""What a run counts: rates of late, percentiles, histograms."""

import time

import pytest

from xpcam import meter
from xpcam.meter import BOUNDS, REMEMBERED, Durations, Latest, Meter


def test_only_the_latest_are_kept_and_all_are_counted() -> None:
    latest = Latest()
    for value in range(REMEMBERED + 10):
        latest.add(value)
    assert latest.count == REMEMBERED + 10
    assert sorted(latest.values()) == list(range(10, REMEMBERED + 10))
    assert sorted(latest.values(3)) == [REMEMBERED + 7, REMEMBERED + 8, REMEMBERED + 9]


def test_each_duration_falls_into_one_bucket() -> None:
    durations = Durations()
    for seconds in (0.0, BOUNDS[0], BOUNDS[0] * 1.01, 99.0):
        durations.add(seconds)
    assert durations.buckets[0] == 2  # at most the bound
    assert durations.buckets[1] == 1
    assert durations.buckets[-1] == 1
    assert sum(durations.buckets) == durations.count == 4
    durations.clear()
    assert (durations.count, sum(durations.buckets), durations.total) == (0, 0, 0.0)
    assert durations.percentiles_ms() == (0.0, 0.0)


def test_percentiles_are_of_the_latest() -> None:
    durations = Durations()
    for seconds in [1.0] * 100 + [0.010] * 50:
        durations.add(seconds)
    assert durations.percentiles_ms(50) == pytest.approx((10.0, 10.0))


def test_rates_are_of_the_last_seconds_and_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    counting = Meter()
    counting.begin()
    for tick in range(100):  # ten seconds: ten pictures a second, half of them new for the last five
        now = 100.0 + tick / 10
        counting.given()
        if tick % 2 and tick >= 50:
            counting.made()
    generated, published = counting.rates()
    assert generated == pytest.approx(5.0, rel=0.1)
    assert published == pytest.approx(10.0, rel=0.1)
    now += meter.RATE_SECONDS + 1
    assert counting.rates() == (0.0, 0.0)
    assert (counting.generated, counting.published) == (25, 100)
