"""A daemon in small: the same picture, again and again."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from xpcam.frame import Pixels
from xpcam.virtual_camera import VirtualCamera


@contextmanager
def publishing(camera: VirtualCamera, pixels: Pixels, fps: float = 60) -> Iterator[None]:
    """Show a picture `fps` times a second until the block ends; convert it every time, as the daemon does."""
    done = threading.Event()

    def run() -> None:
        while not done.wait(1 / fps):
            camera.write(camera.convert(pixels))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
