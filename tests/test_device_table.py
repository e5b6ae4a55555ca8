"""The table of `make test-device`, from what the emulated machines printed."""

import pytest
from table import BEGINS, ENDS, Result, results, table, written


def test_passed_stopped_and_after_a_stray_mark() -> None:
    log = "  first: a\n  first: passed after 3 s\r\n  second: b\n<  second: passed after 9 s: 5 ms\n"
    assert results(f"{log}  third: c\n    passed\n") == {
        "first": Result("a", "yes, 3 s"),
        "second": Result("b", "yes, 9 s: 5 ms"),
        "third": Result("c", "no"),
    }


def test_what_was_skipped_has_not_passed_and_why() -> None:
    log = "  first: a\n    skipped: no package\n  first: passed after 0 s\n"
    assert results(log) == {"first": Result("a", "skipped: no package")}


@pytest.mark.parametrize(("log", "came"), [("ENDED\n", "ended"), ("Traceback\n", "no")])
def test_a_machine_that_was_ended_for_another_s_sake_has_not_failed(log: str, came: str) -> None:
    assert results(f"  first: a\n{log}")["first"].came == came
    assert results(f"  first: a\n  first: passed after 3 s\n{log}")["first"].came == "yes, 3 s"


def test_logs_of_several_versions() -> None:
    made = table(
        {"1": "kernel\n  first_one: a\n  first_one: passed after 2 s\n  other: b\n", "2": "kernel\n"}
    )
    assert made.splitlines()[::2] == ["| scenario | 1 | 2 |", "| first one: a | yes, 2 s | not run |"]
    assert made.splitlines()[-1] == "| other: b | no | not run |"


def test_the_page_keeps_what_stands_around_the_table() -> None:
    page = f"before\n{BEGINS}| old |\n{ENDS}\nafter\n"
    assert written(page, "| new |") == f"before\n{BEGINS}| new |\n{ENDS}\nafter\n"
    with pytest.raises(ValueError, match="unpack"):
        written("no marks", "| new |")
