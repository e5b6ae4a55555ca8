"""What came of the checks: scenario by version of the driver, from the logs of the emulated machines.

    python tests/device/table.py FOLDER VERSION... [--docs docs/virtual-camera.md --seconds N]

FOLDER has a guest-VERSION.log of each. The table is printed, and written into the page that is named, with
the date and how long all of it took.
"""

import argparse
import os
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

BEGINS, ENDS = "<!-- test-device begins -->\n", "<!-- test-device ends -->"
SAID = re.compile(
    r"^<*  (?P<name>[a-z_0-9]+): (?P<what>.*)$|^    skipped: (?P<why>.*)$|^(?P<ended>ENDED)$", re.MULTILINE
)


class Result(NamedTuple):
    """What a scenario is, and what came of it."""

    what: str
    came: str


def results(log: str) -> dict[str, Result]:
    """By scenario: "yes" with its seconds and figures, "skipped" with its reason, "no" where it stopped.

    v4l2-ctl leaves "<" where a line begins. A machine that was ended because another failed says nothing of
    the scenario it was at.
    """
    found: dict[str, Result] = {}
    for said in SAID.finditer(log.replace("\r", "")):
        name, what = said["name"], said["what"]
        last = list(found)[-1] if found else ""
        if said["why"] and last:
            found[last] = Result(found[last].what, f"skipped: {said['why']}")
        elif said["ended"] and last and found[last].came == "no":
            found[last] = Result(found[last].what, "ended")
        elif name in found and what.startswith("passed after "):
            if found[name].came == "no":
                found[name] = Result(found[name].what, what.replace("passed after", "yes,"))
        elif name:
            found[name] = Result(what, "no")
    return found


def table(logs: dict[str, str]) -> str:
    """In Markdown, a line for each scenario; `logs` by version."""
    found = {version: results(log) for version, log in logs.items()}
    whats = {name: result.what for each in found.values() for name, result in each.items()}
    rows = [
        ["scenario", *logs],
        ["---"] * (len(logs) + 1),
        *(
            [
                f"{name.replace('_', ' ')}: {what}",
                *(each[name].came if name in each else "not run" for each in found.values()),
            ]
            for name, what in whats.items()
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def written(page: str, made: str) -> str:
    """The page with the table between its marks. Raises ValueError where it has none."""
    before, rest = page.split(BEGINS)
    return f"{before}{BEGINS}{made}\n{ENDS}{rest.split(ENDS)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("versions", nargs="+")
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--seconds", type=int)
    options = parser.parse_args()
    made = table(
        {version: (options.folder / f"guest-{version}.log").read_text() for version in options.versions}
    )
    print(made)
    if options.docs:
        took = f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} cores: {options.seconds} s in all."
        page = options.docs.read_text(encoding="utf-8")
        options.docs.write_text(written(page, f"{took}\n\n{made}"), encoding="utf-8")


if __name__ == "__main__":
    main()
