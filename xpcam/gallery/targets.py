"""Targets into the gallery, and out of it ready to be shown."""

import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Final

from xpcam.gallery import still_file
from xpcam.gallery.store import Entry, Kind, Store
from xpcam.progress import Progress
from xpcam.target.clip import TargetClip, Tracker, is_clip
from xpcam.target.loading import Reader, load_target
from xpcam.target.still import Target

log = logging.getLogger(__name__)

THUMBNAIL: Final = 256  # longest side, pixels


def add(
    store: Store,
    name: str,
    source: Path,
    size: tuple[int, int],
    tracker: Tracker,
    reader: Reader,
    progress: Progress,
) -> Entry:
    """Prepare a picture or clip and keep it under a name.

    Raises:
        TargetError: it cannot be used, or not be kept.
    """
    store.check_new(name)  # before a clip is read, which takes long
    if is_clip(source):
        clip = load_target(source, size, tracker, reader, progress)
        assert isinstance(clip, TargetClip)
        small = still_file.thumbnail(clip.decoded(clip.reference), THUMBNAIL)
        return _keep(store, name, source, "clip", small, None)
    still = still_file.read_still(source, tracker)
    return _keep(store, name, source, "still", still_file.thumbnail(still.picture, THUMBNAIL), still)


def _keep(
    store: Store, name: str, source: Path, kind: Kind, small: bytes, still: still_file.PreparedStill | None
) -> Entry:
    with store.adding(name, source, kind) as entry:
        entry.thumbnail.write_bytes(small)
        if still is not None:
            still_file.save(still, entry.prepared)
    return store.get(name)


def load(
    entry: Entry, size: tuple[int, int], tracker: Tracker, reader: Reader, progress: Progress
) -> Target | TargetClip:
    """A target of the gallery at output size; what was prepared is used, or made anew where it is stale.

    Raises:
        TargetError: its file was damaged since it was added.
    """
    prepared = None if entry.kind == "clip" else still_file.load(entry.prepared)
    if entry.kind == "still" and prepared is None:
        prepared = still_file.read_still(entry.original, tracker)
        _keep_anew(prepared, entry)
    if prepared is None or not prepared.enough_for(size):
        loaded = load_target(entry.original, size, tracker, reader, progress)
        assert not isinstance(loaded, tuple)
        return loaded
    log.info("target: %s", entry.name)
    return prepared.target(size)


def _keep_anew(prepared: still_file.PreparedStill, entry: Entry) -> None:
    try:
        with tempfile.TemporaryDirectory(prefix=".still-", dir=entry.folder) as folder:
            made = replace(entry, folder=Path(folder)).prepared
            still_file.save(prepared, made)
            made.replace(entry.prepared)
    except OSError as error:
        log.warning("target %s: what was prepared is not kept (%s)", entry.name, error.strerror)
