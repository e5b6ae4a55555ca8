"""TensorRT engines on disk: found only by everything they depend on, kept whole or not at all.

Each lies in a folder of its own, named by the hash of its key, beside a manifest with the key in full and the
hash of every file. Whatever does not match is not looked into: it is as if it were not there.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from xpcam.errors import EngineError
from xpcam.file_lock import locked

VERSION: Final = 1  # of what a folder holds; raise it when the way of building changes
MANIFEST: Final = "manifest.json"
LOCK: Final = ".lock"
TIMINGS: Final = ".timings-"
PART: Final = ".building-"
"""Begins the name of a folder in which an engine is being built."""


@dataclass(frozen=True, slots=True)
class Key:
    """All that an engine depends on; with any other value it is another engine.

    Attributes:
        model: name of the .onnx file without its ending.
        sha256: of the .onnx file.
        gpu, compute: the GPU's name and compute capability.
        driver, tensorrt, onnxruntime: versions.
        precision: "fp16" or "fp32".
    """

    model: str
    sha256: str
    gpu: str
    compute: str
    driver: str
    tensorrt: str
    onnxruntime: str
    precision: str

    @property
    def folder(self) -> Path:
        """Where it is kept."""
        digest = hashlib.sha256(json.dumps([VERSION, asdict(self)], sort_keys=True).encode()).hexdigest()
        return root() / f"{self.model}-{self.precision}-{digest[:16]}"

    @property
    def part(self) -> Path:
        """Where it is built."""
        return root() / f"{PART}{self.folder.name}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A folder of the cache.

    Attributes:
        folder: where it is.
        key: None where the manifest cannot be read.
        refused: why no engine was kept (it differs too much); empty for an engine.
        damage: what is wrong with the files; empty where they are as they were written.
        size: bytes.
    """

    folder: Path
    key: Key | None
    refused: str
    damage: str
    size: int


def root() -> Path:
    """Where engines are kept: `$XDG_CACHE_HOME/xpcam/engines`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "xpcam" / "engines"


def find(key: Key) -> Kept | None:
    """The engine of that key, or the note that it was refused; None where it has to be built."""
    if not key.folder.is_dir():
        return None
    kept = read(key.folder)
    return kept if kept.key == key and not kept.damage else None


def read(folder: Path) -> Kept:
    """What a folder holds, every file compared with its hash; never fails for what is in it."""
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        key, refused = Key(**manifest["key"]), str(manifest["refused"])
        right = manifest["files"] == _hashes(folder)
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Kept(folder, None, "", f"its manifest cannot be read ({type(error).__name__})", size)
    return Kept(folder, key, refused, "" if right else "its files are not what was written", size)


def keep(key: Key, refused: str = "") -> None:
    """Make `key.part` the engine of that key, in one step; an older folder is replaced.

    Args:
        key: whose engine it is.
        refused: why it is not used: then only that is kept.

    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    if refused:
        for file in key.part.iterdir():
            file.unlink()
    manifest: dict[str, Any] = {"key": asdict(key), "refused": refused, "files": _hashes(key.part)}
    with (key.part / MANIFEST).open("w", encoding="utf-8") as output:
        json.dump(manifest, output, indent=1)
        output.flush()
        os.fsync(output.fileno())
    if key.folder.exists():
        shutil.rmtree(key.folder)
    key.part.rename(key.folder)


def everything() -> list[Kept]:
    """All that is kept, foreign and damaged folders too; not what is being built."""
    if not root().is_dir():
        return []
    return [read(path) for path in sorted(root().iterdir()) if path.is_dir() and path.name[0] != "."]


def sweep() -> None:
    """Remove what interrupted builds left; only for who holds the cache's lock."""
    for path in root().glob(f"{PART}*"):
        shutil.rmtree(path, ignore_errors=True)


def clean(wanted: Collection[Path]) -> list[Kept]:
    """Remove every folder that is not wanted, or damaged, and what interrupted builds left; gives what went.

    Raises:
        EngineError: a folder cannot be removed.
    """
    if not root().is_dir():
        return []
    try:
        with locked(root() / LOCK):
            sweep()
            gone = [kept for kept in everything() if kept.damage or kept.folder not in wanted]
            for kept in gone:
                shutil.rmtree(kept.folder)
            if not wanted:
                for timings in root().glob(f"{TIMINGS}*"):
                    shutil.rmtree(timings)
    except OSError as error:
        raise EngineError(
            f"{error.filename} cannot be removed ({error.strerror}): whose is it? 'ls -l {root()}'"
        ) from error
    return gone


def timing_file_folder(key: Key) -> Path:
    """Where the timings are kept that TensorRT measures as it builds: for one GPU, driver and TensorRT."""
    what = json.dumps([VERSION, key.gpu, key.compute, key.driver, key.tensorrt])
    return root() / f"{TIMINGS}{hashlib.sha256(what.encode()).hexdigest()[:16]}"


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_hash(path) for path in sorted(folder.iterdir()) if path.name != MANIFEST}


def file_hash(path: Path) -> str:
    """SHA-256, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
