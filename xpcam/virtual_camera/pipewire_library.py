"""libpipewire through ctypes: as much of it as a camera node needs.

Declarations: `pipewire/stream.h`, `pipewire/thread-loop.h`, `spa/buffer/buffer.h`, the same from 0.3.65
to 1.x. All parameters are known before the node is connected, its state is asked, and its buffers are filled
from the caller's thread: so nothing is called back but what tells that buffers come and go.
"""

import ctypes
import os
from ctypes import POINTER, Structure, c_char_p, c_int, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache

from xpcam.errors import OutputError
from xpcam.virtual_camera.pipewire_format import META_BUSY, META_HEADER, META_HEADER_BYTES

_NAME = "libpipewire-0.3.so.0"
_INSTALL = "install PipeWire (the packages pipewire and wireplumber)"


class Chunk(Structure):
    """struct spa_chunk: which part of the memory is valid."""

    _fields_ = (("offset", c_uint32), ("size", c_uint32), ("stride", c_int32), ("flags", c_int32))


class Data(Structure):
    """struct spa_data: the memory of a picture."""

    _fields_ = (
        ("type", c_uint32),
        ("flags", c_uint32),
        ("fd", c_int64),
        ("mapoffset", c_uint32),
        ("maxsize", c_uint32),
        ("data", c_void_p),
        ("chunk", POINTER(Chunk)),
    )


class Header(Structure):
    """struct spa_meta_header; `pts` is in nanoseconds of the monotonic clock."""

    _fields_ = (
        ("flags", c_uint32),
        ("offset", c_uint32),
        ("pts", c_int64),
        ("dts_offset", c_int64),
        ("seq", c_uint64),
    )


class Busy(Structure):
    """struct spa_meta_busy: how many processes hold the picture; it is not given out again meanwhile."""

    _fields_ = (("flags", c_uint32), ("count", c_uint32))


class Meta(Structure):
    """struct spa_meta: one kind of facts on a picture."""

    _fields_ = (("type", c_uint32), ("size", c_uint32), ("data", c_void_p))


class SpaBuffer(Structure):
    """struct spa_buffer."""

    _fields_ = (
        ("n_metas", c_uint32),
        ("n_datas", c_uint32),
        ("metas", POINTER(Meta)),
        ("datas", POINTER(Data)),
    )

    def header(self) -> Header | None:
        """Where the time stamp goes; None where the reader did not want one."""
        found = self._meta(META_HEADER, META_HEADER_BYTES)
        return Header.from_address(found) if found else None

    def release(self) -> None:
        """Take the picture from whoever holds it."""
        if found := self._meta(META_BUSY, ctypes.sizeof(Busy)):
            Busy.from_address(found).count = 0

    def _meta(self, kind: int, nbytes: int) -> int | None:
        for index in range(self.n_metas):
            meta = self.metas[index]
            if meta.type == kind and meta.size >= nbytes:
                address: int | None = meta.data
                return address
        return None


class StreamBuffer(Structure):
    """struct pw_buffer, as far as every version has it."""

    _fields_ = (("buffer", POINTER(SpaBuffer)), ("user_data", c_void_p), ("size", c_uint64))


BufferEvent = ctypes.CFUNCTYPE(None, c_void_p, POINTER(StreamBuffer))


class StreamEvents(Structure):
    """struct pw_stream_events, version 0; a null pointer is an event that is not wanted."""

    _fields_ = (
        ("version", c_uint32),
        ("others", c_void_p * 5),
        ("add_buffer", BufferEvent),
        ("remove_buffer", BufferEvent),
        ("more", c_void_p * 8),
    )


_FUNCTIONS: dict[str, tuple[object, ...]] = {  # name: (result, arguments...)
    "pw_init": (None, c_void_p, c_void_p),
    "pw_get_library_version": (c_char_p,),
    "pw_log_set_level": (None, c_int),
    "pw_properties_new_string": (c_void_p, c_char_p),
    "pw_thread_loop_new": (c_void_p, c_char_p, c_void_p),
    "pw_thread_loop_get_loop": (c_void_p, c_void_p),
    "pw_thread_loop_start": (c_int, c_void_p),
    "pw_thread_loop_stop": (None, c_void_p),
    "pw_thread_loop_destroy": (None, c_void_p),
    "pw_thread_loop_lock": (None, c_void_p),
    "pw_thread_loop_unlock": (None, c_void_p),
    "pw_stream_new_simple": (c_void_p, c_void_p, c_char_p, c_void_p, POINTER(StreamEvents), c_void_p),
    "pw_stream_connect": (c_int, c_void_p, c_int, c_uint32, c_int, POINTER(c_char_p), c_uint32),
    "pw_stream_get_state": (c_int, c_void_p, POINTER(c_char_p)),
    "pw_stream_dequeue_buffer": (POINTER(StreamBuffer), c_void_p),
    "pw_stream_queue_buffer": (c_int, c_void_p, POINTER(StreamBuffer)),
    "pw_stream_trigger_process": (c_int, c_void_p),
    "pw_stream_destroy": (None, c_void_p),
}


@cache
def library() -> ctypes.CDLL:
    """libpipewire, declared and initialised, once for the process; raises OutputError where it is missing."""
    try:
        found = ctypes.CDLL(_NAME)
        for name, (result, *arguments) in _FUNCTIONS.items():
            function = getattr(found, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise OutputError(f"{_NAME} cannot be used ({error}), PipeWire was wanted: {_INSTALL}") from error
    found.pw_init(None, None)
    if "PIPEWIRE_DEBUG" not in os.environ:  # it tells on many lines what our message tells in one
        found.pw_log_set_level(0)
    return found
