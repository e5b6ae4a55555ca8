"""Sound beside rendered pictures: in time, cut to the picture, or missing without harm."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.audio.stream import AudioStream
from av.container import OutputContainer

from xpcam.errors import OutputError
from xpcam.virtual_camera import open_output
from xpcam.virtual_camera.sound import Sound

SIZE = (160, 96)


def record(
    path: Path, frames: int, fps: float, audio_from: Path | None = None, times: list[float] | None = None
) -> None:
    """Black frames, offline where there is sound."""
    output = open_output(str(path), size=SIZE, fps=fps, audio_from=audio_from)
    for number in range(frames):
        black = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        output.write(output.convert(black), times[number] if times else None)
    output.close()


def frames_of(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def shown_at(path: Path) -> list[float | None]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def make_driver(
    path: Path, codec: str, picture_from: float = 0.0, seconds: float = 2.0, rate: int = 44100
) -> Path:
    """A video with a tone that begins at second 1; its first picture lies at `picture_from`."""
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


UNEVEN = [number / 60 for number in range(60)] + [1 + number / 10 for number in range(20)]  # 80 in 3 s


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_pictures_of_uneven_times_keep_them_and_the_sound(tmp_path: Path, suffix: str) -> None:
    driver = make_driver(tmp_path / "driver.mp4", "aac", seconds=3.0)
    path = tmp_path / f"clip{suffix}"
    record(path, len(UNEVEN), len(UNEVEN) / 3, audio_from=driver, times=UNEVEN)
    assert shown_at(path) == pytest.approx(UNEVEN, abs=6e-4)  # mkv counts milliseconds
    assert tone_begins(path) == pytest.approx(tone_begins(driver), abs=0.03)


@pytest.mark.parametrize("fps", [24, 25, 12.5, Fraction(24000, 1001), Fraction(30000, 1001), 60])
def test_an_offline_rendering_of_constant_rate_says_so(tmp_path: Path, fps: Fraction | float) -> None:
    driver = make_driver(tmp_path / "driver.mp4", "aac")
    path = tmp_path / "clip.mp4"
    record(path, 20, float(fps), audio_from=driver, times=[float(n / fps) for n in range(20)])
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == fps
        assert container.streams.video[0].frames == 20
    record(path, 20, float(fps), audio_from=driver)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == fps


@pytest.mark.parametrize("rate", [7000, 192000])
def test_sound_of_a_rate_that_aac_does_not_know(tmp_path: Path, rate: int) -> None:
    driver = make_driver(tmp_path / "driver.mkv", "pcm_s16le", rate=rate)
    path = tmp_path / "clip.mp4"
    record(path, 38, 25, audio_from=driver)
    assert frames_of(path) == 38
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.sample_rate == 48000


def test_sound_in_a_format_nobody_knows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    driver = make_driver(tmp_path / "driver.mkv", "flac")
    driver.write_bytes(driver.read_bytes().replace(b"A_FLAC", b"A_FLUC"))
    path = tmp_path / "clip.mp4"
    record(path, 5, 25, audio_from=driver)
    assert "no sound" in caplog.text
    assert frames_of(path) == 5


def test_sound_whose_times_jump_back(tmp_path: Path) -> None:
    driver = make_driver(tmp_path / "driver.ts", "aac", seconds=1.2)
    driver.write_bytes(driver.read_bytes() * 2)  # as recordings joined with `cat` are
    path = tmp_path / "clip.mp4"
    record(path, 50, 25, audio_from=driver)
    assert frames_of(path) == 50
    assert tone_begins(path) == pytest.approx(1, abs=0.03)


def test_the_driver_is_let_go_of_when_the_output_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Sound] = []

    def refuse(sound: Sound, container: OutputContainer) -> None:
        opened.append(sound)
        raise ValueError("'mp4' format does not support 'flac' codec")

    monkeypatch.setattr(Sound, "join", refuse)
    driver = make_driver(tmp_path / "driver.mkv", "flac")
    with pytest.raises(OutputError, match="does not support 'flac'"):
        open_output(str(tmp_path / "clip.mp4"), size=SIZE, fps=25, audio_from=driver)
    with pytest.raises(AssertionError, match="not open"):
        opened[0]._source.seek(0)
    assert list(tmp_path.iterdir()) == [driver]
