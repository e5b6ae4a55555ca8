"""What a check found."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "note", "failed"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's result.

    Attributes:
        check: what was looked at.
        state: "failed" where xpcam cannot be used, "note" where something could be better.
        found: what is there.
        remedy: what to type or do; "" where nothing is needed.
        code: the exit code of a failure, that with which `xpcam start` would end.
        fix: what `--fix` may do about it without root, a name in `mending.FIXES`; "" where nothing.
    """

    check: str
    state: State
    found: str
    remedy: str = ""
    code: int = 0
    fix: str = ""

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            "check": self.check,
            "state": self.state,
            "found": self.found,
            "remedy": self.remedy,
            "fixable": bool(self.fix),
        }


def ok(check: str, found: str) -> Finding:
    """Nothing is needed."""
    return Finding(check, "ok", found)


def note(check: str, found: str, remedy: str, *, fix: str = "") -> Finding:
    """It works, or another way does; it could be better."""
    return Finding(check, "note", found, remedy, fix=fix)


def failed(check: str, found: str, remedy: str, code: int) -> Finding:
    """xpcam cannot be used like this."""
    return Finding(check, "failed", found, remedy, code)


def exit_code(findings: Sequence[Finding]) -> int:
    """0 where xpcam can be used, else the code of the first failure."""
    return next((finding.code for finding in findings if finding.state == "failed"), 0)
