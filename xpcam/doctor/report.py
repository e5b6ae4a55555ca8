"""Findings for people and for programs."""

import json
from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpcam.doctor.finding import Finding, exit_code

COLOURS: Final = {"ok": "green", "note": "yellow", "failed": "red"}


def as_json(findings: Sequence[Finding]) -> str:
    """`usable`, the exit code, and every finding."""
    code = exit_code(findings)
    told = {"usable": not code, "exit_code": code, "findings": [finding.as_dict() for finding in findings]}
    return json.dumps(told, indent=2)


def show(findings: Sequence[Finding], console: Console) -> None:
    """A table, then what to do: unbroken lines, to be copied."""
    table = Table(box=None, pad_edge=False)
    for title in ("check", "state", "found"):
        table.add_column(title, no_wrap=title != "found")
    for finding in findings:
        table.add_row(finding.check, Text(finding.state, COLOURS[finding.state]), Text(finding.found))
    console.print(table)
    for finding in sorted(findings, key=lambda finding: finding.state):  # failed before note
        if finding.remedy:
            console.print(Text(f"{finding.check}: {finding.remedy}"), soft_wrap=True)
    code = exit_code(findings)
    console.print(f"xpcam cannot be used like this ({code})" if code else "xpcam can be used")
