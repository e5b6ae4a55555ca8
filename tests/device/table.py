"""What came of the checks: scenario by version of the driver, from the log of the emulated machine.

python tests/device/table.py LOG VERSION...
"""

import re
import sys
from pathlib import Path


def results(log: str) -> dict[str, str]:
    """Scenario to "yes", "skipped", or "no" for the one at which it stopped.

    v4l2-ctl leaves "<" where a line begins.
    """
    found: dict[str, str] = {}
    for name, said in re.findall(r"^<*  ([a-z_0-9]+): (.*)$|^    skipped", log, re.MULTILINE):
        if not name:
            found[list(found)[-1]] = "skipped"
        elif said != "passed":
            found[name] = "no"
        elif found.get(name) != "skipped":
            found[name] = "yes"
    return found


def table(log: str, versions: list[str]) -> str:
    """In Markdown, a line for each scenario."""
    parts = dict(part.split("\n", 1) for part in log.split("== v4l2loopback ")[1:])
    found = {version: results(parts.get(version, log)) for version in versions}
    names = dict.fromkeys(name for result in found.values() for name in result)
    rows = [
        ["scenario", *versions],
        ["---"] * (len(versions) + 1),
        *(
            [name.replace("_", " "), *(found[version].get(name, "not run") for version in versions)]
            for name in names
        ),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


if __name__ == "__main__":
    print(table(Path(sys.argv[1]).read_text(), sys.argv[2:]))
