"""The driver's sound, written beside the rendered picture."""

import logging
from collections.abc import Iterator
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.codec import Codec
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet

_COPIED = ("aac", "ac3")  # what mp4, mov and mkv hold and players play; all else becomes AAC

_RATE = 48000  # samples a second, where AAC knows no rate of the source's

_Timed = tuple[float, "Packet[AudioStream]"]
"""When a packet begins, in seconds, and the packet."""

log = logging.getLogger(__name__)


class Sound:
    """The sound of one video; second 0 is that video's first picture."""

    def __init__(self, path: Path, source: InputContainer, track: AudioStream) -> None:
        """Takes over `source`, an open video, of which `track` is the sound."""
        self._path = path
        self._source = source
        self._track = track
        self._packets: Iterator[_Timed] = iter(())
        self._waiting: _Timed | None = None

    def join(self, container: OutputContainer) -> None:
        """Add the audio stream to a file that has not begun yet: copied where that can be, else AAC.

        Raises FFmpegError or ValueError where the file cannot hold it.
        """
        self._container = container
        context = self._track.codec_context
        if context.name in _COPIED:
            self._stream = container.add_stream_from_template(self._track)
            packets = self._copied()
        else:
            layout = "mono" if context.layout.nb_channels == 1 else "stereo"
            known = Codec("aac", "w").audio_rates or ()
            rate = context.sample_rate if context.sample_rate in known else _RATE
            self._stream = container.add_stream("aac", rate=rate, layout=layout)
            packets = self._encoded()
        self._packets = self._while_readable(packets)

    def mux_until(self, seconds: float) -> None:
        """Write all sound that begins before `seconds`. Raises FFmpegError where it cannot be written."""
        self._waiting = self._waiting or next(self._packets, None)
        while self._waiting and self._waiting[0] < seconds:
            self._container.mux_one(self._waiting[1])
            self._waiting = next(self._packets, None)

    def close(self) -> None:
        """Close the video that the sound comes from."""
        self._source.close()

    def _copied(self) -> Iterator[_Timed]:
        begin = last = self._first_picture()
        for packet in self._source.demux(self._track):
            if packet.pts is None or packet.dts is None or packet.pts < begin or packet.dts < last:
                continue  # the end, sound from before the first picture, or damage: muxers want rising times
            last = packet.dts + 1
            packet.pts -= begin
            packet.dts -= begin
            packet.stream = self._stream
            yield float(packet.pts * packet.time_base), packet

    def _encoded(self) -> Iterator[_Timed]:
        begin = self._first_picture()
        for frame in self._source.decode(self._track):
            if frame.pts is None or frame.pts < begin:
                continue
            frame.pts -= begin
            yield from self._timed(self._stream.encode(frame))
        yield from self._timed(self._stream.encode(None))

    def _first_picture(self) -> int:
        """When the first picture is shown, in ticks of the sound."""
        for picture in self._source.streams.video:
            if picture.start_time is not None and picture.time_base and self._track.time_base:
                return round(picture.start_time * picture.time_base / self._track.time_base)
        return 0

    def _timed(self, packets: list["Packet[AudioStream]"]) -> Iterator[_Timed]:
        for packet in packets:
            yield float((packet.pts or 0) * packet.time_base), packet

    def _while_readable(self, packets: Iterator[_Timed]) -> Iterator[_Timed]:
        try:
            yield from packets
        except FFmpegError as error:
            log.warning("the sound of %s ends early: %s", self._path, error.strerror)


def open_sound(path: Path) -> Sound | None:
    """The sound of a video; None, and a log line, where there is none that can be read."""
    try:
        source = av.open(str(path), options={"protocol_whitelist": "file"})
    except (FFmpegError, OSError) as error:
        log.warning("no sound: %s cannot be read (%s)", path, error.strerror)
        return None
    track = next(iter(source.streams.audio), None)
    if track is not None and track.codec_context is not None:
        return Sound(path, source, track)
    if track is None:
        log.info("no sound: %s has none", path)
    else:
        log.warning("no sound: that of %s is in a format that FFmpeg cannot decode", path)
    source.close()
    return None
