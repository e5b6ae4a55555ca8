"""Changes what is on air while it runs.

Each change is prepared whole, one after the other, in a thread of its own, and then put before the frame loop
as one value (`rendering.target_switch`). What cannot be done is refused, and what was on air stays.
"""

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol, TypeVar

from pydantic import ValidationError

from xpcam.camera.spec import home_resolved
from xpcam.errors import SettingsError, TargetError, XpcamError
from xpcam.governor import Quality
from xpcam.rendering.renderer import Look
from xpcam.rendering.target_switch import OnAir, TargetSwitch
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import Gains
from xpcam.settings import Settings
from xpcam.settings import wanted as wanted_of
from xpcam.target.loading import AnyTarget
from xpcam.target_loader import TargetLoader

log = logging.getLogger(__name__)

CONNECTED: Final = ("size", "fps", "camera", "output")
LIVE: Final = (
    *("mouth", "eyes", "brows", "head", "gaze"),
    *("mirror", "relight", "interior", "transfer"),
    *CONNECTED,
)
"""Settings that change while it runs, besides the target and the neutral face."""
MESH_ONLY: Final = ("gaze", "relight")
"""Settings that mean nothing to the X2Face engine."""

T = TypeVar("T")


class Connection(Protocol):
    """What connects a run to its camera and its output (`xpcam.wiring`)."""

    def change(self, wanted: Settings) -> None:
        """Connect it as the settings say. Raises XpcamError: it cannot be; what there was goes on."""


def gains_of(settings: Settings) -> Gains:
    """The gains that the settings ask for."""
    return Gains(settings.mouth, settings.eyes, settings.brows, settings.head, settings.gaze)


def look_of(settings: Settings) -> Look:
    """How the settings ask targets to be drawn."""
    return Look(settings.relight, settings.interior)


def changed(settings: Settings, values: Mapping[str, object]) -> Settings:
    """Settings with some of other values. Raises SettingsError."""
    try:
        return Settings(**{**settings.model_dump(), **values})
    except ValidationError as error:
        problem = error.errors()[0]
        if not problem["loc"]:
            raise SettingsError(str(problem["ctx"]["error"])) from None
        name = str(problem["loc"][0])
        raise SettingsError(f"{name}: found {values[name]!r}, wanted {wanted_of(name)}") from None


def spelled(value: object) -> object:
    """As the command line takes it: a size as "1280x720"."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else value


class Steering:
    """What may be asked of a run, from any thread.

    Args:
        settings: what the run was started with.
        targets: takes what is to be shown next.
        loader: reads targets.
        relearn: makes the pipeline learn the neutral face anew.

    Attributes:
        connection: to camera and output; None: they are not changed.
        settings: what holds now.
        target: what is on show: a name of the gallery, or a path.
        neutral: where the neutral face comes from: "automatic", or what it was called.
    """

    def __init__(
        self, settings: Settings, targets: TargetSwitch, loader: TargetLoader, relearn: Callable[[], None]
    ) -> None:
        self.connection: Connection | None = None
        self.settings = settings
        self.target = self._read_from = str(settings.target)
        self.neutral = settings.profile or "automatic"
        self._targets = targets
        self._loader = loader
        self._relearn = relearn
        self._closing = False
        self._changes = ThreadPoolExecutor(1, "change")
        self._asked: SimpleQueue[Callable[[], object] | None] = SimpleQueue()
        self._listener = threading.Thread(target=self._listen, name="signals", daemon=True)
        self._listener.start()

    def change(self, values: Mapping[str, object]) -> Settings:
        """Change settings of `LIVE`, all at once; waits until they are ready to be shown.

        Raises:
            SettingsError: values that do not go together, or mean nothing to the engine.
            TargetError, CameraError, OutputError: one of them cannot be; nothing was changed.
        """
        unused = [name for name in values if name in MESH_ONLY and self.settings.engine == "x2face"]
        if unused:
            raise SettingsError(
                f"{', '.join(unused)}: of no use to the engine x2face; start anew with --engine mesh"
            )
        return self._ask(lambda: self._change(values))

    def use(self, named: str) -> str:
        """Show another target: a name of the gallery, or a path; waits until it is ready to be shown.

        Raises:
            TargetError, EngineError: it cannot be used; what is on show stays.
        """
        return self._ask(lambda: self._use(named))

    def show_next(self) -> str:
        """Show the next still of the folder that is on show, else the next target of the gallery.

        Raises:
            TargetError: there is none; or it cannot be used.
        """
        return self._ask(self._show_next)

    def learn_neutral(self) -> None:
        """Learn the neutral face anew, from the next frame on."""
        self._ask(lambda: self._take_neutral(None, "automatic"))

    def take_neutral(self, neutral: Neutral, called: str) -> None:
        """Take this neutral face from the next frame on."""
        self._ask(lambda: self._take_neutral(neutral, called))

    def soon(self, ask: Callable[[], object]) -> None:
        """Do this in a thread; what goes wrong is logged. For signal handlers."""
        self._asked.put(ask)  # SimpleQueue.put may interrupt itself

    def spare(self, quality: Quality) -> None:
        """Make pictures with so much from now on."""
        self._ask(lambda: self._spare(quality))

    def close(self) -> None:
        """Finish what was begun, and take no more."""
        self._closing = True
        self._asked.put(None)
        self._listener.join()  # what a signal or the governor asked for last still finds who does it
        self._changes.shutdown(wait=True, cancel_futures=True)

    def _ask(self, job: Callable[[], T]) -> T:
        asked: Future[T] = self._changes.submit(job)
        return asked.result()

    def _listen(self) -> None:
        while (ask := self._asked.get()) is not None:
            try:
                ask()
            except XpcamError as error:
                log.warning("%s; nothing was changed", error)

    def _change(self, values: Mapping[str, object]) -> Settings:
        wanted = changed(self.settings, {**values, "target": home_resolved(self._read_from)})
        loader = replace(self._loader, size=wanted.size)
        live = self._with_look(wanted, loader)
        with ExitStack() as undo:
            if live.animated is not self._targets.latest.animated:
                undo.callback(live.animated.close)
            if self.connection is not None and any(name in CONNECTED for name in values):
                self.connection.change(wanted)
            undo.pop_all()
        self._targets.put(live)
        if wanted.camera != self.settings.camera:
            self._relearn()  # another camera sees the head from elsewhere
        self.settings, self._loader = wanted, loader
        said = ", ".join(f"{name} {spelled(getattr(wanted, name))}" for name in values)
        log.info("changed: %s", said or "nothing")
        return wanted

    def _with_look(self, wanted: Settings, loader: TargetLoader) -> OnAir:
        """What is on air, as the settings want it drawn: made anew where that changes its pictures."""
        live = self._targets.latest
        look = replace(live.look, relight=wanted.relight, interior=wanted.interior)
        if wanted.size != self.settings.size:
            target = self._read(self._read_from, loader)
            index = live.index if isinstance(target, tuple) and live.index < len(target) else 0
            live = replace(live, look=look).showing(target, index)
        elif look != live.look:
            live = live.drawn(look)
        return replace(
            live,
            gains=gains_of(wanted),
            mirror=wanted.mirror,
            by_parameters=wanted.transfer == "parameters",
        )

    def _spare(self, quality: Quality) -> None:
        live = self._targets.latest
        look = replace(live.look, interior_every=quality.interior_every, coarse=quality.coarse)
        if look != live.look:
            live = live.drawn(look)
        self._targets.put(replace(live, track_every=quality.track_every))

    def _use(self, named: str) -> str:
        self._put(self._targets.latest.showing(self._read(named, self._loader)), named)
        self._read_from = named
        return named

    def _read(self, named: str, loader: TargetLoader) -> AnyTarget:
        try:
            path = home_resolved(named)
            if not path.exists() and path.parent == Path():
                loader.store.get(named)  # says which names there are
            return loader.load(path, self._go_on)
        except OSError as error:
            raise TargetError(f"target {named[:200]} cannot be read ({error.strerror}); check it") from error

    def _go_on(self, _done: int, _total: int | None) -> None:
        """Told how far reading a clip has come. Raises TargetError where nobody waits for it any more."""
        if self._closing:
            raise TargetError("the target was not read to its end: the run stops")

    def _show_next(self) -> str:
        live = self._targets.latest
        if live.choices:
            index = (live.index + 1) % len(live.choices)
            self._put(live.showing(live.choices, index), live.choices[index].name)
            return live.choices[index].name
        entry = self._loader.store.after(self.target)
        return self._use(entry.name)

    def _put(self, live: OnAir, named: str) -> None:
        self._targets.put(live)
        self.target = named
        log.info("target: %s is on show", named)

    def _take_neutral(self, neutral: Neutral | None, called: str) -> None:
        self._targets.put(replace(self._targets.latest, neutral=neutral))
        self.neutral = called
        if neutral is None:
            self._relearn()
        log.info("neutral face: %s", called)
