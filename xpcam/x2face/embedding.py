"""Target -> embedded face, once: where a face that looks straight ahead takes its pixels from.

What is kept is the grid, not pixels: the face is then sampled from the target at whatever size it is shown.
A grid depends on nothing but the network's input and weights, so its file is named by their hash.
"""

import hashlib
import logging
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from xpcam.errors import EngineError
from xpcam.frame import Floats, Pixels
from xpcam.warping.grids import CELLS

log = logging.getLogger(__name__)

SIDE: Final = 256
"""Side of the crop that the embedding network takes, pixels."""
VERSION: Final = 2  # of what a file holds
MOST: Final = 2000  # files kept; the oldest go first
DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class Runs(Protocol):
    """An engine (`xpcam.inference.engine.Engine`, or a fake)."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]: ...


class Embedder:
    """Embeds faces; a face that was embedded before, in this run or another, is read from its file.

    Args:
        model: the embedding network's file.
        opener: loads it; called only where a face was not embedded before.
    """

    def __init__(self, model: Path, opener: Callable[[], AbstractContextManager[Runs]]) -> None:
        self._model = model
        self._opener = opener

    def embed(self, crop: Pixels) -> Floats:
        """(128, 128, 2) where the embedded face samples the (256, 256, 3) crop.

        Raises:
            EngineError: the network does not work.
        """
        place = self._place(crop)
        kept = _load(place)
        if kept is not None:
            return kept
        with self._opener() as engine:
            grid = believable(engine.run({"source": crop[None]})["grid"][0], "embedding")
        _save(grid, place)
        log.info("the face is embedded, and kept in %s", place)
        return grid

    def _place(self, crop: Pixels) -> Path:
        digest = hashlib.sha256(f"{VERSION}".encode() + digest_of(self._model) + crop.tobytes())
        return folder() / f"{digest.hexdigest()}.npz"


def folder() -> Path:
    """Where embedded faces are kept: `$XDG_CACHE_HOME/xpcam/x2face`."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "xpcam" / "x2face"


def believable(grid: NDArray[Any], network: str) -> Floats:
    """(128, 128, 2) what a network said. Raises EngineError where that is no grid of numbers."""
    if grid.shape != (CELLS, CELLS, 2) or not np.isfinite(grid).all():
        raise EngineError(
            f"the x2face {network} network gave no grid: wanted {CELLS}x{CELLS} places; reinstall xpcam, or "
            "use --engine mesh"
        )
    return np.asarray(np.clip(grid, -1.0, 1.0), np.float32)


@cache
def digest_of(model: Path) -> bytes:
    """What is in a file. Raises EngineError."""
    try:
        with model.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise EngineError(f"the engine file {model} cannot be read ({error.strerror}); reinstall") from error


def _load(place: Path) -> Floats | None:
    """The grid kept at `place`; None where there is none, or none that can be used."""
    if not place.is_file():
        return None
    try:
        with place.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return believable(data["grid"], "embedding")
    except (*DAMAGE, EngineError) as error:
        log.warning("the embedded face %s cannot be used (%s); it is made anew", place, error)
        return None


def _save(grid: Floats, place: Path) -> None:
    """Keep it; a warning where that does not work."""
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(suffix=".part", dir=place.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(file, allow_pickle=False, grid=grid)
            Path(name).replace(place)
        finally:
            Path(name).unlink(missing_ok=True)
        kept = sorted(place.parent.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in kept[: max(0, len(kept) - MOST)]:
            path.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or error
        log.warning("the embedded face is not kept in %s (%s): it is made anew", place.parent, reason)
