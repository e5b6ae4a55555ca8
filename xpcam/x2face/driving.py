"""The driving network: where the embedded face's landmarks are -> where a crop samples the embedded face.

It sees nobody: who is followed has become an act of the embedded face before.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from threading import Lock
from types import TracebackType
from typing import Final, Self

import numpy as np

from xpcam.errors import EngineError
from xpcam.face.embedded_face import FRONTAL, embedded_face
from xpcam.face.head_crop import in_crop
from xpcam.frame import Floats
from xpcam.inference.reloading import Reloading
from xpcam.x2face.embedding import Runs, believable

RESTS: Final = tuple(np.linspace(0.0, 1.0, 6).tolist())  # how far lips are apart

log = logging.getLogger(__name__)


class Driving:
    """The driving network of a run, which all targets share; any thread may ask it.

    Args:
        opener: loads the network.

    Attributes:
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
                self._resting = [
                    _asked(network, in_crop(face, FRONTAL)) for face in map(embedded_face, RESTS)
                ]
        except EngineError:
            self._network.close()
            raise

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

    def resting(self, apart: float) -> Floats:
        """(128, 128, 2) what it says where the face does nothing, its lips so far apart (`embedded_face`)."""
        at = float(np.clip(apart, 0.0, 1.0)) * (len(RESTS) - 1)
        first = min(int(at), len(RESTS) - 2)
        lower, upper = self._resting[first], self._resting[first + 1]
        return np.asarray(lower + (upper - lower) * np.float32(at - first), np.float32)

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
