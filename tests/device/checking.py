"""Runs checks and says what came of them, for table.py."""

import time
from collections.abc import Callable, Sequence


def checked(checks: Sequence[Callable[[], str | None]], wanted: str) -> None:
    """Run those that are wanted ("all", or names with commas between); table.py reads what is printed.

    A check may return its figures, for the table.
    """
    for check in checks:
        name = check.__name__.removeprefix("check_")
        if wanted != "all" and name not in wanted.split(","):
            continue
        print(f"  {name}: {check.__doc__}", flush=True)
        began = time.monotonic()
        figures = check()
        after = f"{time.monotonic() - began:.0f} s{f': {figures}' if figures else ''}"
        print(f"  {name}: passed after {after}", flush=True)
