"""What the PipeWire node says of its pictures: SPA pods, PipeWire's binary parameters, packed by hand.

Structures and numbers: PipeWire's SPA headers (`spa/pod/pod.h`, `spa/param/format.h`,
`spa/param/buffers.h`), the same from 0.3.65 to 1.x. A pod is its size, its type and a body that is
padded to 8 bytes.
"""

import struct
from dataclasses import dataclass
from fractions import Fraction

_ID, _INT, _RECTANGLE, _FRACTION, _OBJECT, _CHOICE = 3, 4, 10, 11, 15, 19
_RANGE = 1  # the kind of choice: default, least, most
_FORMAT_OBJECT, _BUFFERS_OBJECT, _META_OBJECT = 0x40003, 0x40004, 0x40005
_ENUM_FORMAT, _BUFFERS, _META = 3, 5, 6
_VIDEO, _RAW = 2, 1
_MEDIA_TYPE, _MEDIA_SUBTYPE, _VIDEO_FORMAT, _SIZE, _RATE = 1, 2, 0x20001, 0x20003, 0x20004
_COLOR_RANGE, _COLOR_MATRIX, _TRANSFER, _PRIMARIES = 0x2000C, 0x2000D, 0x2000E, 0x2000F
_LIMITED, _BT601, _SRGB, _BT709 = 2, 4, 7, 1  # luma 16 to 235; matrix; transfer; primaries
_COUNT, _BLOCKS, _BYTES, _STRIDE = 1, 2, 3, 4
_META_TYPE, _META_SIZE = 1, 2
_MOST_BUFFERS = 16

META_HEADER, META_BUSY = 1, 7
META_HEADER_BYTES = 32
BUFFERS = 8
"""Pictures in flight: a reader may hold one for so many frames before it is written over."""


@dataclass(frozen=True, slots=True)
class PictureFormat:
    """How a picture lies in memory, one block of it.

    Attributes:
        name: as people know it, "I420" or "YUY2".
        spa: its number in `enum spa_video_format`.
        size: (width, height) in pixels.
        stride: bytes of a line of the first plane.
        nbytes: bytes of a picture.
    """

    name: str
    spa: int
    size: tuple[int, int]
    stride: int
    nbytes: int


def picture_format(size: tuple[int, int]) -> PictureFormat:
    """I420 without padding; YUY2 where a line of I420's chroma is no multiple of 4 bytes.

    GStreamer pads such lines in its mind, then finds the picture too short and shows black.
    """
    width, height = size
    if width % 8:
        return PictureFormat("YUY2", 4, size, width * 2, width * height * 2)
    return PictureFormat("I420", 2, size, width, width * height * 3 // 2)


def parameters(picture: PictureFormat, fps: float) -> list[bytes]:
    """The pods a stream is connected with: its one format, its buffers, and a header with a time stamp."""
    rate = Fraction(fps).limit_denominator(1001)
    offered = _object(
        _FORMAT_OBJECT,
        _ENUM_FORMAT,
        {
            _MEDIA_TYPE: _id(_VIDEO),
            _MEDIA_SUBTYPE: _id(_RAW),
            _VIDEO_FORMAT: _id(picture.spa),
            _SIZE: _pod(_RECTANGLE, struct.pack("=2I", *picture.size)),
            _RATE: _pod(_FRACTION, struct.pack("=2I", rate.numerator, rate.denominator)),
            # Undeclared, GStreamer takes 720 lines for BT.709 and Chromium for BT.601.
            _COLOR_RANGE: _id(_LIMITED),
            _COLOR_MATRIX: _id(_BT601),
            _TRANSFER: _id(_SRGB),
            _PRIMARIES: _id(_BT709),
        },
    )
    buffers = _object(
        _BUFFERS_OBJECT,
        _BUFFERS,
        {
            _COUNT: _range(BUFFERS, 2, _MOST_BUFFERS),
            _BLOCKS: _int(1),
            _BYTES: _int(picture.nbytes),
            _STRIDE: _int(picture.stride),
        },
    )
    header = _object(_META_OBJECT, _META, {_META_TYPE: _id(META_HEADER), _META_SIZE: _int(META_HEADER_BYTES)})
    return [offered, buffers, header]


def _pod(kind: int, body: bytes) -> bytes:
    return struct.pack("=2I", len(body), kind) + body + bytes(-len(body) % 8)


def _id(value: int) -> bytes:
    return _pod(_ID, struct.pack("=I", value))


def _int(value: int) -> bytes:
    return _pod(_INT, struct.pack("=i", value))


def _range(default: int, least: int, most: int) -> bytes:
    return _pod(_CHOICE, struct.pack("=4I3i", _RANGE, 0, 4, _INT, default, least, most))


def _object(kind: int, purpose: int, properties: dict[int, bytes]) -> bytes:
    body = b"".join(struct.pack("=2I", key, 0) + value for key, value in properties.items())
    return _pod(_OBJECT, struct.pack("=2I", kind, purpose) + body)
