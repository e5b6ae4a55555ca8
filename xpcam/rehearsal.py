"""Leaves pictures of the idling target with the output's keeper, which shows them when this process is gone.

They are made beside the frame loop, without haste: at the start, and when another target is on show.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Final

import cv2

from xpcam.rendering.renderer import LOOK
from xpcam.rendering.target_switch import TargetSwitch
from xpcam.retargeting.idling import idle_motion
from xpcam.virtual_camera.keeping import StandIn

PICTURES: Final = 40  # with a blink among them
FPS: Final = 10  # the keeper shows so many a second
QUALITY: Final = 90  # of JPEG
REST: Final = 0.03  # seconds between two, so that the frame loop is not held up
LOOK_AGAIN: Final = 0.5  # seconds between two looks whether another target is on show

log = logging.getLogger(__name__)


@contextmanager
def rehearsing(stand_in: StandIn, targets: TargetSwitch, named: Callable[[], str]) -> Iterator[None]:
    """Keep `stand_in` showing what is on air; `named` tells what that is called."""
    stop = threading.Event()
    thread = threading.Thread(target=_rehearse, args=(stand_in, targets, named, stop), name="rehearsal")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _rehearse(
    stand_in: StandIn, targets: TargetSwitch, named: Callable[[], str], stop: threading.Event
) -> None:
    ready = ""
    while not stop.wait(LOOK_AGAIN if ready else REST):
        name = named()  # before the target: it is told after that has changed
        if name == ready:
            continue
        pictures = idling(targets, stop)
        if len(pictures) == PICTURES:
            stand_in.pictures, ready = pictures, name
            log.debug("the keeper can show %s alone", name)


def idling(targets: TargetSwitch, stop: threading.Event) -> tuple[bytes, ...]:
    """JPEG pictures of what the target does when it is left alone; fewer where it was told to stop."""
    made: list[bytes] = []
    with closing(targets.latest.animated.drawn(LOOK)) as animated:
        for step in range(PICTURES):
            if stop.wait(REST):
                break
            at = step / FPS
            picture = animated.render(animated.act(idle_motion(at), 0.0, at))
            _, jpeg = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
            made.append(jpeg.tobytes())
    return tuple(made)
