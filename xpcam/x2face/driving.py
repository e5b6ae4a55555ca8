"""The driving network: where the embedded face's landmarks are -> where a crop samples the embedded face.

It sees nobody: who is followed has become an act of the embedded face before.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from types import TracebackType
from typing import Self

from xpcam.errors import EngineError
from xpcam.face.embedded_face import canonical
from xpcam.frame import Floats
from xpcam.inference.reloading import Reloading
from xpcam.warping.grids import FINE, enlarged, inverted
from xpcam.x2face.embedding import Runs, believable

log = logging.getLogger(__name__)


class Driving:
    """The driving network of a run, which all targets share; any thread may ask it.

    Args:
        opener: loads the network.

    Attributes:
        unbiased: (256, 256, 2) where a place of the embedded face has to be looked up in a grid, so that the
            face that does nothing stays where it is: the network says so nearly.
        fault: why it does not work at the moment; empty where it does.

    Raises:
        EngineError: it cannot be loaded, or does not work.
    """

    def __init__(self, opener: Callable[[], AbstractContextManager[Runs]]) -> None:
        self.fault = ""
        self._one = Lock()
        self._network = Reloading(opener)
        try:
            with self._network.used() as network:
                at_rest = _asked(network, canonical())
        except EngineError:
            self._network.close()
            raise
        self.unbiased = inverted(enlarged(at_rest, FINE))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Free the network."""
        self._network.close()

    @property
    def network(self) -> Runs | None:
        """What is asked; None while it is loaded again."""
        return self._network.held

    def grid(self, landmarks: Floats) -> Floats | None:
        """(128, 128, 2) where a crop samples the embedded face; None where the network fails (`fault`).

        Args:
            landmarks: (478, 2) of the embedded face in that crop, -1 to 1.
        """
        with self._one:
            try:
                with self._network.used() as network:
                    grid = _asked(network, landmarks)
            except EngineError as error:
                if not self.fault:
                    log.error("%s; the mesh engine shows the target meanwhile", error)
                    self.fault = str(error)
                return None
            if self.fault:
                log.info("the driving network works again")
                self.fault = ""
            return grid


def _asked(network: Runs, landmarks: Floats) -> Floats:
    return believable(network.run({"landmarks": landmarks[None]})["grid"][0], "driving")
