"""What `--camera` may mean, told from its text alone: the settings ask before anything is opened."""

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

DEMO = "demo"
TABLE = "csv:"  # what begins a file of blend shapes (`live_link`)


def home_resolved(text: str) -> Path:
    """A path with `~` resolved; that of a user who does not exist stays as it is."""
    return Path(os.path.expanduser(text))  # noqa: PTH111 - Path.expanduser raises RuntimeError there


def path_of(spec: str) -> Path:
    """The path that a spec names once `file://` is taken off and `~` resolved."""
    text = unquote(urlsplit(spec).path) if spec.startswith("file://") else spec
    return home_resolved(text)


def table_of(spec: str) -> Path | None:
    """The file of blend shapes that a spec names, None where it names none."""
    return home_resolved(spec.removeprefix(TABLE)) if spec.startswith(TABLE) else None


def file_of(spec: str) -> Path | None:
    """The file that a spec can mean; None for the demo, an index, a device or a stream.

    A label and a file may have the same name; the device is then opened, not the file.
    """
    if spec == DEMO or spec.isdecimal():
        return None
    path = table_of(spec) or path_of(spec)
    if path.is_relative_to("/dev") or ("://" in spec and not spec.startswith("file://")):
        return None
    return path


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file, which may be still to be made."""
    if first.exists() and second.exists():
        return first.samefile(second)
    return os.path.realpath(first) == os.path.realpath(second)
