"""The gallery's folder: one folder for each target, moved into place when it is complete.

    targets/
        order.json      the names, in the order in which `next` goes through them
        NAME/
            target.json     what it is
            original.*      the picture or clip, as it was given
            still.npz       a picture ready to be shown (`gallery.still_file`); clips are in the clip cache
            thumbnail.jpg

What exists is what has a folder: a damaged order.json costs the order, nothing else.
"""

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, Literal

from xpcam.errors import TargetError
from xpcam.file_lock import locked

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
NAMES_ARE: Final = "a name is 1 to 40 of a-z, 0-9, - and _, and begins with a letter or digit"
MOST: Final = 1000  # targets
ORDER: Final = "order.json"

Kind = Literal["still", "clip"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One target of the gallery.

    Attributes:
        name: as it is called.
        kind: a still picture or a clip.
        source: the name that its file had.
        added: when, ISO 8601.
        folder: where it is kept.
    """

    name: str
    kind: Kind
    source: str
    added: str
    folder: Path

    @property
    def original(self) -> Path:
        """The picture or clip itself."""
        return self.folder / f"original{Path(self.source).suffix.lower()}"

    @property
    def prepared(self) -> Path:
        """What a still was prepared to."""
        return self.folder / "still.npz"

    @property
    def thumbnail(self) -> Path:
        """A small JPEG."""
        return self.folder / "thumbnail.jpg"


def gallery_folder() -> Path:
    """Where targets are kept: `$XDG_DATA_HOME/xpcam/targets`."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "xpcam" / "targets"


def name_for(source: Path) -> str:
    """A name made of a file's."""
    return re.sub(r"[^a-z0-9]+", "-", source.stem.lower()).strip("-")[:40].strip("-") or "target"


class Store:
    """The targets in one folder. Every change is whole or not there, whatever happens in between.

    Args:
        folder: where they are; made when the first is added.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def entries(self) -> tuple[Entry, ...]:
        """All, in order; those that the order does not know come last, by name."""
        found = {path.name: entry for path in self._folders() if (entry := _read(path)) is not None}
        known = [name for name in self._order() if name in found]
        return tuple(found[name] for name in [*known, *sorted(found.keys() - set(known))])

    def get(self, name: str) -> Entry:
        """The target of that name. Raises TargetError."""
        entry = _read(self._folder / name) if NAME.fullmatch(name) else None
        if entry is None:
            names = ", ".join(entry.name for entry in self.entries()) or "none yet"
            raise TargetError(f"no target {name[:60]!r} in the gallery (found: {names}): 'xpcam target add'")
        return entry

    def has(self, name: str) -> bool:
        """Whether there is a target of that name."""
        return NAME.fullmatch(name) is not None and _read(self._folder / name) is not None

    def after(self, name: str | None) -> Entry:
        """The one after that, after the last the first; the first where that is none of them.

        Raises:
            TargetError: there is none at all.
        """
        entries = self.entries()
        if not entries:
            raise TargetError("the gallery is empty: wanted a target; 'xpcam target add face.png'")
        names = [entry.name for entry in entries]
        return entries[(names.index(name) + 1) % len(names) if name in names else 0]

    @contextmanager
    def adding(self, name: str, source: Path, kind: Kind) -> Iterator[Entry]:
        """A folder to put a new target's files into; it takes its place when the context ends well.

        Raises:
            TargetError: not a name, or one that is taken; the folder cannot be written.
        """
        self.check_new(name)
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            making = Path(tempfile.mkdtemp(prefix=".adding-", dir=self._folder))
            try:
                entry = Entry(name, kind, source.name, datetime.now(UTC).isoformat("T", "seconds"), making)
                shutil.copyfile(source, entry.original)
                yield entry
                _write_json(making / "target.json", {key: getattr(entry, key) for key in FIELDS})
                with locked(self._folder / ".lock"):
                    self.check_new(name)
                    making.rename(self._folder / name)
                    self._keep_order([*self._order(), name])
            finally:
                shutil.rmtree(making, ignore_errors=True)
        except OSError as error:
            raise TargetError(
                f"target {name} cannot be kept in {self._folder} ({error.strerror or error}): "
                "wanted room and the right to write; mend that"
            ) from error

    def check_new(self, name: str) -> None:
        """Raises TargetError where a target cannot be called so."""
        if not NAME.fullmatch(name):
            raise TargetError(f"target name {name[:60]!r}: {NAMES_ARE}; choose another with --as")
        if (self._folder / name).exists():
            raise TargetError(f"there is a target {name!r} already: use --as, or remove that one")
        if len(self._folders()) >= MOST:
            raise TargetError(f"the gallery holds {MOST} targets, the most it can: remove some")

    def remove(self, name: str) -> None:
        """Remove a target. Raises TargetError."""
        entry = self.get(name)
        try:
            with locked(self._folder / ".lock"):
                bin_ = Path(tempfile.mkdtemp(prefix=".removing-", dir=self._folder))
                entry.folder.rename(bin_ / name)
                self._keep_order([other for other in self._order() if other != name])
            shutil.rmtree(bin_)
        except OSError as error:
            raise TargetError(
                f"target {name} cannot be removed ({error.strerror}): check its rights"
            ) from error

    def _folders(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        return [path for path in self._folder.iterdir() if NAME.fullmatch(path.name) and path.is_dir()]

    def _order(self) -> list[str]:
        try:
            names = json.loads((self._folder / ORDER).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return []
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def _keep_order(self, names: list[str]) -> None:
        _write_json(self._folder / ORDER, list(dict.fromkeys(names)))


FIELDS: Final = ("kind", "source", "added")


def _read(folder: Path) -> Entry | None:
    """The target in a folder; None where there is none."""
    try:
        said = json.loads((folder / "target.json").read_text(encoding="utf-8"))
        kind, source, added = (str(said[key]) for key in FIELDS)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if kind not in ("still", "clip") or Path(source).name != source:
        return None
    return Entry(folder.name, "clip" if kind == "clip" else "still", source, added, folder)


def _write_json(path: Path, value: object) -> None:
    """Write it beside its place and move it there."""
    handle, name = tempfile.mkstemp(suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
