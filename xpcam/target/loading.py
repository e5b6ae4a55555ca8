"""What `--target` names: a picture, a clip or a folder of pictures, made ready to be shown."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from xpcam.progress import Progress
from xpcam.target import cache, still
from xpcam.target.clip import TargetClip, Tracker, is_clip, read_clip
from xpcam.target.folder import Stored, load_folder
from xpcam.target.still import Target

log = logging.getLogger(__name__)

AnyTarget = Target | TargetClip | tuple[Stored, ...]

Reader = Callable[[], AbstractContextManager[Tracker]]
"""Opens a tracker that does not smooth, for a clip that was not prepared before."""


def load_target(
    path: Path, size: tuple[int, int], tracker: Tracker, reader: Reader, progress: Progress
) -> AnyTarget:
    """Read what a path names, find its face and prepare it at output size.

    Raises:
        TargetError: it, or its face, cannot be used.
    """
    if path.is_dir():
        stills = load_folder(path, size, tracker, progress)
        log.info("target: %s, the first of %d", stills[0].name, len(stills))
        return stills
    if not is_clip(path) or not path.exists():
        picture = still.load_picture(path)
        return still.prepare(picture, still.the_face(path, tracker.locate(picture)), size)
    place = cache.place_of(path, size)
    clip = cache.load(place)
    if clip is None:
        with reader() as steady:
            clip = read_clip(path, size, steady, progress)
        cache.save(clip, place)
    log.info("target: %s, %d pictures in %.1f seconds", path.name, len(clip.order), clip.starts[-1])
    return clip
