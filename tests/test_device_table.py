"""The table of `make test-device`, from what an emulated machine printed."""

from table import results, table


def test_passed_stopped_and_after_a_stray_mark() -> None:
    log = "  first: starts\n  first: passed\n  second: reads\n<  second: passed\n  third: hangs\n    passed\n"
    assert results(log) == {"first": "yes", "second": "yes", "third": "no"}


def test_what_was_skipped_has_not_passed() -> None:
    assert results("  first: a\n    skipped: no package\n  first: passed\n") == {"first": "skipped"}


def test_a_log_of_several_versions() -> None:
    log = "kernel\n== v4l2loopback 1\n  first: a\n  first: passed\n== v4l2loopback 2\n  first: a\n"
    assert table(log, ["1", "2"]).splitlines()[-1] == "| first | yes | no |"
