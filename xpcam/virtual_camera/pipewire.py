"""A PipeWire camera: no kernel module, several readers, listed by whoever asks the desktop's camera portal.

The node is a Video/Source named "Xpression Cam" that drives its readers: every picture is one cycle of
the graph. Nobody reading (no link to the node) costs nothing: neither conversion nor copy. Readers are told
nothing when a publisher dies, so the process keeps the node; when the PipeWire daemon itself goes, this
module comes back with it.
"""

import ctypes
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, Protocol

import numpy as np

from xpcam.devices import OUR_LABEL
from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer, I420Converter, Yuy2Converter
from xpcam.virtual_camera.pipewire_format import PictureFormat, parameters, picture_format
from xpcam.virtual_camera.pipewire_library import BufferEvent, SpaBuffer, StreamEvents, library

NODE_NAME = "xpression_cam"
RETRY = 1.0  # seconds between two looks for a daemon that went away
PATIENCE = 2.0  # seconds until a daemon has taken the node
HELD = 0.5  # seconds after which pictures that readers hold are written over

_PROPERTIES = (
    f'media.type = Video media.category = Source media.role = Camera media.class = "Video/Source" '
    f'node.name = {NODE_NAME} node.description = "{OUR_LABEL}" node.nick = "{OUR_LABEL}" '
    f'application.name = "{OUR_LABEL}"'
)
_DIRECTION_OUTPUT, _ANY_TARGET = 1, 0xFFFFFFFF
_MAP_BUFFERS, _DRIVER = 1 << 2, 1 << 3
_NOTHING: Buffer = np.empty((0, 0), np.uint8)

log = logging.getLogger(__name__)


class State(IntEnum):
    """enum pw_stream_state."""

    ERROR = -1
    UNCONNECTED = 0
    CONNECTING = 1
    PAUSED = 2
    STREAMING = 3


class Node(Protocol):
    """One camera node in a PipeWire daemon; tests put a fake here."""

    def state(self) -> tuple[State, str]:
        """What it is, and why where it is in error."""

    def send(self, picture: Buffer) -> None:
        """Show a picture to every reader; it is dropped where readers still hold all buffers."""

    def close(self) -> None: ...


Connect = Callable[[PictureFormat, float], Node]
"""(format, frames a second) to a node; raises OutputError (no library) and OSError (no daemon)."""


class PipeWireCamera:
    """Shows frames as a PipeWire camera.

    Attributes:
        description: one line for people.
        fault: why the node is gone; "" while it is there.
    """

    watched = True

    def __init__(
        self,
        *,
        size: tuple[int, int],
        fps: float,
        connect: Connect | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make the node and wait until the daemon has it; raises OutputError. `size` is (width, height)."""
        self._format = picture_format(size)
        self._converter = I420Converter(size) if self._format.name == "I420" else Yuy2Converter(size)
        self._fps = fps
        self._connect: Connect = connect or StreamNode
        self._now = now
        self._retry_at = 0.0
        self._open = True
        self.fault = ""
        self._node: Node | None = self._first_node()
        self.description = f"{OUR_LABEL} (PipeWire), {size[0]}x{size[1]} {self._format.name} at {fps:g} fps"

    def readers(self) -> int:
        """1 while somebody reads, however many they are; 0 when nobody does."""
        return int(self._state() is State.STREAMING)

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to a frame in a buffer used again; an empty one while nobody reads."""
        return self._converter.convert(pixels) if self.readers() else _NOTHING

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Show one frame to all readers; `at` is not used. Raises OutputError where this was closed."""
        if not self._open:
            raise OutputError(f"{self.description} is closed, a frame came: open the output again")
        if buffer.size and self._node is not None:
            self._node.send(buffer)

    def close(self) -> None:
        """Take the node away; a second call does nothing."""
        self._open = False
        self._drop()

    def _first_node(self) -> Node:
        try:
            node = self._connect(self._format, self._fps)
        except OSError as error:
            raise OutputError(
                f"no PipeWire daemon answers ({error.strerror}), one is wanted as the virtual camera: "
                "run systemctl --user start pipewire wireplumber, as the user of the desktop"
            ) from error
        deadline = self._now() + PATIENCE
        while (found := node.state())[0] is State.CONNECTING and self._now() < deadline:
            time.sleep(0.005)
        if found[0] < State.PAUSED:
            node.close()
            raise OutputError(
                f"PipeWire made no camera ({found[1] or 'it did not answer'}), a Video/Source node was "
                "wanted: run systemctl --user restart pipewire wireplumber"
            )
        return node

    def _state(self) -> State:
        """The node's state; one that was lost is made again, once a second."""
        if self._node is not None:
            state, reason = self._node.state()
            if state >= State.CONNECTING:
                return state
            self.fault = f"PipeWire went away ({reason or 'disconnected'}); the camera comes back with it"
            log.warning("%s", self.fault)
            self._drop()
        if self._open and self._now() >= self._retry_at:
            self._retry_at = self._now() + RETRY
            self._return()
        return State.UNCONNECTED

    def _return(self) -> None:
        try:
            self._node = self._connect(self._format, self._fps)
        except OSError as error:
            log.debug("PipeWire is not back (%s)", error.strerror)
        else:
            self.fault = ""
            log.info("PipeWire is back, and the camera with it")

    def _drop(self) -> None:
        if self._node is not None:
            self._node.close()
            self._node = None


class StreamNode:
    """A node made of a pw_stream.

    The library's own thread speaks with the daemon. It is held wherever the stream is touched, for it unmaps
    the buffers when a reader goes.

    A reader that hangs holds every buffer, and one that is killed never gives back those it held: the others
    would see nothing more. So pictures are taken from them after a while.
    """

    def __init__(self, picture: PictureFormat, fps: float) -> None:
        """Begin to connect; raises OutputError without the library, OSError without a daemon."""
        self._library = library()
        self._picture = picture
        self._sequence = 0
        self._buffers: dict[int, SpaBuffer] = {}  # by the address of the pw_buffer
        self._patience = max(1, round(HELD * fps))
        self._left_out = 0  # pictures in a row for which there was no buffer
        self._loop = self._library.pw_thread_loop_new(b"xpression-cam", None)
        self._events = StreamEvents(
            add_buffer=BufferEvent(self._add_buffer), remove_buffer=BufferEvent(self._remove_buffer)
        )
        self._stream = self._library.pw_stream_new_simple(
            self._library.pw_thread_loop_get_loop(self._loop),
            OUR_LABEL.encode(),
            self._library.pw_properties_new_string(_PROPERTIES.encode()),
            ctypes.byref(self._events),
            None,
        )
        if not self._stream:
            self._library.pw_thread_loop_destroy(self._loop)
            raise OutputError("libpipewire lacks its modules or its configuration: install pipewire again")
        self._library.pw_thread_loop_start(self._loop)
        result = self._begin(parameters(picture, fps))
        if result < 0:
            self.close()
            raise OSError(-result, os.strerror(-result))

    def state(self) -> tuple[State, str]:
        with self._held():
            reason = ctypes.c_char_p()
            state = State(self._library.pw_stream_get_state(self._stream, ctypes.byref(reason)))
            return state, (reason.value or b"").decode(errors="replace")

    def send(self, picture: Buffer) -> None:
        with self._held():
            buffer = self._free_buffer()
            if buffer is None:
                return
            self._fill(buffer.contents.buffer.contents, picture)
            # Filled before the cycle begins: a process callback would show the picture one cycle later.
            self._library.pw_stream_queue_buffer(self._stream, buffer)
            self._library.pw_stream_trigger_process(self._stream)

    def close(self) -> None:
        self._library.pw_thread_loop_stop(self._loop)
        self._library.pw_stream_destroy(self._stream)
        self._library.pw_thread_loop_destroy(self._loop)

    def _begin(self, pods: list[bytes]) -> int:
        with self._held():
            result: int = self._library.pw_stream_connect(
                self._stream,
                _DIRECTION_OUTPUT,
                _ANY_TARGET,
                _MAP_BUFFERS | _DRIVER,
                (ctypes.c_char_p * len(pods))(*pods),
                len(pods),
            )
        return result

    def _free_buffer(self) -> Any:
        """A pointer to a StreamBuffer, None where readers hold all."""
        for _ in range(len(self._buffers)):  # one that is held goes to the end of the queue
            if buffer := self._library.pw_stream_dequeue_buffer(self._stream):
                self._left_out = 0
                return buffer
        self._left_out += 1
        if self._left_out >= self._patience:
            log.info("a reader gives no pictures back: writing over them")
            for held in self._buffers.values():
                held.release()
            self._left_out = 0
        return None

    def _add_buffer(self, _data: object, buffer: Any) -> None:
        """(the library's thread)"""
        self._buffers[ctypes.addressof(buffer.contents)] = buffer.contents.buffer.contents

    def _remove_buffer(self, _data: object, buffer: Any) -> None:
        """(the library's thread)"""
        self._buffers.pop(ctypes.addressof(buffer.contents), None)

    def _fill(self, buffer: SpaBuffer, picture: Buffer) -> None:
        data = buffer.datas[0]
        ctypes.memmove(data.data, picture.ctypes.data, min(picture.nbytes, data.maxsize))
        chunk = data.chunk.contents
        chunk.offset, chunk.size, chunk.stride, chunk.flags = 0, picture.nbytes, self._picture.stride, 0
        if header := buffer.header():
            header.flags, header.offset, header.dts_offset = 0, 0, 0
            header.pts, header.seq = time.monotonic_ns(), self._sequence
        self._sequence += 1

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._library.pw_thread_loop_lock(self._loop)
        try:
            yield
        finally:
            self._library.pw_thread_loop_unlock(self._loop)
