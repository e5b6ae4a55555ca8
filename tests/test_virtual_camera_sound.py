"""Sound beside rendered pictures: in time, cut to the picture, or missing without harm."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream

from xpcam.virtual_camera import open_output

SIZE = (160, 96)


def record(path: Path, frames: int, fps: float, audio_from: Path | None = None) -> None:
    """Black frames, offline where there is sound."""
    output = open_output(str(path), size=SIZE, fps=fps, audio_from=audio_from)
    for _ in range(frames):
        output.write(output.convert(np.zeros((SIZE[1], SIZE[0], 3), np.uint8)))
    output.close()


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def make_driver(path: Path, codec: str, picture_from: float = 0.0, seconds: float = 2.0) -> Path:
    """A video with a tone that begins at second 1; its first picture lies at `picture_from`."""
    rate = 44100
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(audio, AudioStream)
        tone = np.sin(np.arange(int(seconds * rate)) * 440 * 2 * np.pi / rate) * 20000
        tone[:rate] = 0
        for number in range(round((seconds - picture_from) * 25)):
            picture = av.VideoFrame.from_ndarray(np.full((64, 64, 3), 9, np.uint8), "bgr24")
            picture.pts, picture.time_base = number + round(picture_from * 25), Fraction(1, 25)
            container.mux(video.encode(picture))
        for begin in range(0, len(tone), 1024):
            part = tone[None, begin : begin + 1024].astype(np.int16)
            sound = av.AudioFrame.from_ndarray(part, "s16", "mono")
            sound.sample_rate, sound.pts, sound.time_base = rate, begin, Fraction(1, rate)
            container.mux(audio.encode(sound))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def tone_begins(path: Path) -> float:
    """Seconds until the sound gets loud."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            samples = frame.to_ndarray()[0]
            loud = np.abs(samples / (1 if samples.dtype.kind == "f" else 32768)) > 0.2
            if loud.any():
                assert frame.time is not None
                return frame.time + int(loud.argmax()) / frame.sample_rate
    raise AssertionError("no tone")


@pytest.mark.parametrize(
    ("source", "codec"), [("driver.mp4", "aac"), ("driver.mkv", "pcm_s16le"), ("driver.mkv", "flac")]
)
def test_sound_is_kept_in_time_and_cut_to_the_picture(tmp_path: Path, source: str, codec: str) -> None:
    driver = make_driver(tmp_path / source, codec)
    path = tmp_path / "clip.mp4"
    record(path, 38, 25, audio_from=driver)  # 1.52 s
    with av.open(str(path)) as container:
        audio = container.streams.audio[0]
        assert audio.codec_context.name == "aac"
        assert audio.duration
        assert audio.time_base
        assert float(audio.duration * audio.time_base) == pytest.approx(1.52, abs=0.06)
    assert tone_begins(path) == pytest.approx(tone_begins(driver), abs=0.03)
    assert frames_of(path) == 38


@pytest.mark.parametrize("codec", ["pcm_s16le", "aac"])
def test_sound_follows_the_first_picture(tmp_path: Path, codec: str) -> None:
    driver = make_driver(tmp_path / "driver.mkv", codec, picture_from=0.4)
    path = tmp_path / "clip.mp4"
    record(path, 38, 25, audio_from=driver)
    assert tone_begins(path) == pytest.approx(0.6, abs=0.03)


@pytest.mark.parametrize("content", ["silent", "text"])
def test_a_driver_without_sound(tmp_path: Path, content: str) -> None:
    driver = tmp_path / "driver.mp4"
    if content == "silent":
        record(driver, 5, 25)
    else:
        driver.write_text("no video")
    path = tmp_path / "clip.mp4"
    record(path, 5, 25, audio_from=driver)
    with av.open(str(path)) as container:
        assert not container.streams.audio
    assert frames_of(path) == 5


def test_sound_that_breaks_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    whole = make_driver(tmp_path / "whole.mkv", "flac")
    driver = tmp_path / "driver.mkv"
    with av.open(str(whole)) as source, av.open(str(driver), "w") as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.pts is None:
                continue
            spoilt = av.Packet(b"no sound" * 20 if packet.pts > 1500 else bytes(packet))
            spoilt.pts, spoilt.dts, spoilt.time_base = packet.pts, packet.dts, packet.time_base
            spoilt.stream = stream
            container.mux(spoilt)
    path = tmp_path / "clip.mp4"
    record(path, 50, 25, audio_from=driver)
    assert frames_of(path) == 50
    assert "ends early" in caplog.text
    assert tone_begins(path) == pytest.approx(tone_begins(whole), abs=0.03)
