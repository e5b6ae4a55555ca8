"""The table of `make test-device`, from what an emulated machine printed."""

from table import results


def test_passed_stopped_and_after_a_stray_mark() -> None:
    log = "  first: starts\n  first: passed\n  second: reads\n<  second: passed\n  third: hangs\n    passed\n"
    assert results(log) == {"first": "yes", "second": "yes", "third": "no"}
