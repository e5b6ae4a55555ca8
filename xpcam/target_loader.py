"""What `--target` and `xpcam target use` may name: a file, a folder, or a target of the gallery."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.gallery import targets
from xpcam.gallery.store import Entry, Store, gallery_folder
from xpcam.progress import Progress, unseen
from xpcam.target.clip import Tracker
from xpcam.target.loading import AnyTarget, Reader, load_target


def default_store() -> Store:
    """The user's gallery."""
    return Store(gallery_folder())


@dataclass(frozen=True, slots=True)
class TargetLoader:
    """Reads targets at one output size.

    Attributes:
        size: (width, height) of the output, pixels.
        reader: opens a tracker that does not smooth.
        store: the gallery.
    """

    size: tuple[int, int]
    reader: Reader
    store: Store = field(default_factory=default_store)

    def entry(self, named: Path) -> Entry | None:
        """The target of the gallery that is meant; None where it is a file, or none of them."""
        name = str(named)
        return self.store.get(name) if not named.exists() and self.store.has(name) else None

    def load(self, named: Path, progress: Progress = unseen, tracker: Tracker | None = None) -> AnyTarget:
        """The target that is meant, ready to be shown; `tracker` finds faces where one is open already.

        Raises:
            TargetError, EngineError: it, or its face, cannot be used; a tracker that cannot be opened.
        """
        with ExitStack() as stack:
            finder = tracker or _OnDemand(self.reader, stack)
            entry = self.entry(named)
            if entry is None:
                return load_target(named, self.size, finder, self.reader, progress)
            return targets.load(entry, self.size, finder, self.reader, progress)
        raise AssertionError  # to mypy, an ExitStack might have swallowed an error


class _OnDemand:
    """A tracker that is opened when it is first asked: most targets are prepared already."""

    def __init__(self, reader: Reader, stack: ExitStack) -> None:
        self._open: Callable[[], Tracker] = lambda: stack.enter_context(reader())
        self._tracker: Tracker | None = None

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return self._opened().locate(pixels)

    def track(self, frame: Frame) -> FaceParams | None:
        return self._opened().track(frame)

    def reset(self) -> None:
        if self._tracker is not None:
            self._tracker.reset()

    def _opened(self) -> Tracker:
        self._tracker = self._tracker or self._open()
        return self._tracker
