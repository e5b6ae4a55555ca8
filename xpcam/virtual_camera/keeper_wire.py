"""What a run and the keeper of its output say to each other: JSON, a message a datagram, over a Unix socket.

Pictures lie in memory that both have mapped (`Pictures`); a message names the slot. The run says:

    open    {spec, size, fps}, with the memory of its pictures: show them on this output
    show    slot: this picture, at once
    stand   lengths of JPEG pictures, with the memory in which they lie one after the other: shown, forth and
            back, when the run is gone or hangs
    end     the run has ended: give the output back
    stay    seconds: whoever ends in this time comes back (`xpcam restart`)

and hears `opened` with the output's description, or `refused` with the reason; then, when something has
changed, `free` slots, `readers` and `fault`.
"""

import json
import mmap
import os
import socket
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from xpcam.frame import Pixels

SLOTS: Final = 3  # one that is filled, one on its way, one on show
LONGEST: Final = 60_000  # bytes of a message
Message = dict[str, Any]


class Pictures:
    """Memory for `SLOTS` pictures of (height, width, 3) BGR, shared by two processes.

    Attributes:
        handle: its descriptor, to be sent; its owner closes it.
        slots: the pictures.
    """

    def __init__(self, size: tuple[int, int], handle: int | None = None) -> None:
        """Map the memory that somebody sent, or make it. Raises OSError where it is too small."""
        width, height = size
        nbytes = SLOTS * height * width * 3
        self.handle = os.memfd_create("xpcam-pictures", os.MFD_CLOEXEC) if handle is None else handle
        if handle is None:
            os.ftruncate(self.handle, nbytes)
        elif os.fstat(handle).st_size < nbytes:
            raise OSError("the memory of the pictures is too small")
        memory = mmap.mmap(self.handle, nbytes)
        self.slots: list[Pixels] = list(np.frombuffer(memory, np.uint8).reshape(SLOTS, height, width, 3))

    def close(self) -> None:
        """Give the descriptor back; what is mapped stays while somebody has a picture."""
        os.close(self.handle)
        self.slots = []


def send(line: socket.socket, message: Message, handle: int | None = None) -> None:
    """Send a message, and a descriptor. Raises OSError where nobody listens, or the queue is full."""
    handles = [] if handle is None else [handle]
    socket.send_fds(line, [json.dumps(message).encode()], handles)


def receive(line: socket.socket) -> tuple[Message, int | None]:
    """The next message and its descriptor; an empty one where the other side has gone.

    Raises BlockingIOError where none has come.
    """
    data, handles, _, _ = socket.recv_fds(line, LONGEST, 1)
    if not data:
        return {}, None
    message: Message = json.loads(data)
    return message, handles[0] if handles else None


def packed(pictures: Sequence[bytes]) -> tuple[list[int], int]:
    """Lengths, and a descriptor of memory with the pictures one after the other; who asked closes it."""
    handle = os.memfd_create("xpcam-stand-in", os.MFD_CLOEXEC)
    with open(handle, "wb", closefd=False) as file:
        file.writelines(pictures)
    return [len(picture) for picture in pictures], handle


def unpacked(lengths: Sequence[int], handle: int) -> list[bytes]:
    """The pictures again; closes the descriptor."""
    os.lseek(handle, 0, os.SEEK_SET)
    with open(handle, "rb") as file:
        return [file.read(length) for length in lengths]
