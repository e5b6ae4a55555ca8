"""Video files and streams: what is decoded, and what is refused in which words."""

import os
import struct
import wave
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from videos import GREY_STEP, write_video

from xpcam.camera import opening as camera
from xpcam.camera import video
from xpcam.errors import CameraError


def refusal(spec: str | Path) -> str:
    with pytest.raises(CameraError) as caught:
        camera.open_camera(str(spec))
    message = str(caught.value)
    assert "\n" not in message
    return message


def levels(frames: Iterable[Any]) -> list[int]:
    return [round(float(frame.pixels.mean()) / GREY_STEP) for frame in frames]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_video(tmp_path / "clip.mp4")


def test_read_video_gives_every_frame_with_its_time(clip: Path) -> None:
    with camera.read_video(clip) as opened:
        frames = list(opened)
        assert levels(opened) == list(range(8))  # and again, from the beginning
    assert levels(frames) == list(range(8))
    assert [frame.sequence for frame in frames] == list(range(8))
    assert [frame.captured_at for frame in frames] == pytest.approx([n / 10 for n in range(8)])
    assert (opened.fps, opened.frame_count) == (10, 8)
    assert opened.duration == pytest.approx(0.8)
    assert all(frame.decode_seconds > 0 for frame in frames)
    assert frames[0].pixels.flags.c_contiguous


def test_beginning_again_opens_the_file_again(clip: Path) -> None:
    """Seeking is not enough: to 0 of an MPEG program stream that starts there finds its second group."""
    other = write_video(clip.with_name("other.mp4"), count=3)
    decoder = video.Decoder(av.open(str(clip)), "clip", again=lambda: av.open(str(other)))
    decoder.rewind()
    assert [decoder.read() is None for _ in range(4)] == [False, False, False, True]
    decoder.close()


def test_an_uneven_frame_rate_keeps_its_times(tmp_path: Path) -> None:
    times = [0, 10, 15, 80, 81]
    path = write_video(tmp_path / "uneven.mkv", count=5, times=times)
    with camera.read_video(path) as opened:
        assert [frame.captured_at for frame in opened] == pytest.approx([t / 100 for t in times])


def play(path: Path, *, loop: bool, reads: int) -> Iterator[tuple[int, float | None]]:
    capture = camera._capture(str(path), (1280, 720), 30, loop, camera.Machine())
    for _ in range(reads):
        grabbed = capture._source.read()
        if grabbed is not None:
            yield round(float(grabbed.pixels.mean()) / GREY_STEP), grabbed.due
    capture._source.close()


def test_a_file_plays_once(clip: Path) -> None:
    assert [level for level, _ in play(clip, loop=False, reads=12)] == list(range(8))


def test_a_looped_file_goes_on_at_its_own_rate(clip: Path) -> None:
    played = list(play(clip, loop=True, reads=20))
    assert [level for level, _ in played] == [*range(8), *range(8), *range(4)]
    assert [due for _, due in played] == pytest.approx([n / 10 for n in range(20)])


@pytest.mark.parametrize(("ending", "codec"), [("h264", "libx264"), ("hevc", "libx265"), ("m4v", "mpeg4")])
def test_a_raw_stream_in_a_file_plays_again(ending: str, codec: str, tmp_path: Path) -> None:
    path = write_video(tmp_path / f"raw.{ending}", codec=codec)
    with camera.read_video(path) as opened:
        assert levels(opened) == list(range(8))
        assert levels(opened) == list(range(8))
    played = list(play(path, loop=True, reads=20))
    assert [level for level, _ in played] == [*range(8), *range(8), *range(4)]
    dues = [due or 0 for _, due in played]
    assert np.diff(dues) == pytest.approx(np.full(19, dues[1]))


def test_a_raw_stream_that_is_gone_at_its_end(tmp_path: Path) -> None:
    path = write_video(tmp_path / "raw.h264", codec="libx264")
    source = camera._capture(str(path), (1280, 720), 30, True, camera.Machine())._source
    for _ in range(8):
        assert source.read() is not None
    path.unlink()
    with pytest.raises(CameraError, match="no video file"):
        source.read()
    source.close()


def test_a_stream_that_cannot_begin_again_says_so(tmp_path: Path) -> None:
    path = write_video(tmp_path / "raw.h264", codec="libx264")
    with (
        av.open(str(path)) as container,
        pytest.raises(CameraError, match="stream is live and cannot be begun again"),
    ):
        video.Decoder(container, "stream").rewind()


def test_a_picture_that_cannot_be_converted_is_where_it_breaks_off(
    clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = video.open_file(clip)
    assert opened.read() is not None

    def fail(*arguments: object) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr(opened, "_reformatter", SimpleNamespace(reformat=fail))
    with pytest.raises(CameraError, match="breaks off after 1 frames: Invalid argument"):
        opened.read()
    opened.close()


def test_a_file_as_camera_ends_with_its_last_frame(clip: Path) -> None:
    opened = camera.open_camera(str(clip), loop=False)
    sequences = []
    while (frame := opened.latest(30)) is not None or not opened.finished:
        if frame is not None:
            sequences.append(frame.sequence)
    opened.close()
    assert sequences[-1] == 7
    assert len(sequences) + opened.dropped == 8
    assert opened.description == f"{clip}: 64x48 mpeg4 at 10 fps"


def test_a_file_url_is_a_file(clip: Path) -> None:
    opened = camera.open_camera(f"file://{clip}", loop=False)
    opened.close()
    assert opened.description.startswith(str(clip))


def test_a_large_file_is_scaled_down_to_the_size_asked_for(tmp_path: Path) -> None:
    path = write_video(tmp_path / "tall.mp4", count=1, size=(96, 192))
    opened = camera.open_camera(str(path), size=(64, 48), loop=False)
    frame = opened.latest(30)
    opened.close()
    assert frame is not None
    assert frame.pixels.shape == (64, 32, 3)


def turned(path: Path, matrix: tuple[int, ...]) -> Path:
    """Write the display matrix of the first track (ISO 14496-12, `tkhd`), as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", *matrix)
    path.write_bytes(data)
    return path


@pytest.mark.parametrize(
    ("matrix", "corner"),
    [
        (
            (0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30),
            (0, -1),
        ),  # clockwise: to top right
        ((0, -(1 << 16), 0, 1 << 16, 0, 0, 0, 0, 1 << 30), (-1, 0)),  # counter-clockwise: to bottom left
    ],
)
def test_a_phone_video_is_turned_upright(
    tmp_path: Path, matrix: tuple[int, ...], corner: tuple[int, int]
) -> None:
    path = tmp_path / "phone.mp4"
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[:16, :16] = 255
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "bgr24")))
        container.mux(stream.encode())
    with camera.read_video(turned(path, matrix)) as opened:
        (frame,) = opened
    assert frame.pixels.shape == (64, 48, 3)
    assert frame.pixels.flags.c_contiguous
    corners = {(y, x): int(frame.pixels[y, x, 0]) for y in (0, -1) for x in (0, -1)}
    assert max(corners, key=lambda place: corners[place]) == corner


def cut(path: Path, share: float) -> Path:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def portrait(path: Path) -> None:
    cv2.imwrite(str(path), np.full((48, 64, 3), 80, np.uint8))


def renamed_portrait(path: Path) -> None:
    path.write_bytes(cv2.imencode(".jpg", np.full((48, 64, 3), 80, np.uint8))[1].tobytes())


def write_sound(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))


BAD_FILES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("missing.mp4", lambda path: None, "no video file"),
    ("folder.mp4", lambda path: path.mkdir(), "is a folder"),
    ("empty.mp4", lambda path: path.touch(), "is empty (0 bytes)"),
    ("text.mp4", lambda path: path.write_text("no video\n" * 50), "is no video that can be read"),
    (
        "noise.mp4",
        lambda path: path.write_bytes(np.random.default_rng(0).bytes(9999)),
        "is no video that can",
    ),
    ("no-index.mp4", lambda path: cut(write_video(path), 0.5), "is cut off before its index"),
    ("header.mp4", lambda path: cut(write_video(path), 0.01), "is cut off before its index"),
    ("half.mp4", lambda path: cut(write_video(path, faststart=True), 0.8), "is cut off: "),
    ("sound.wav", write_sound, "holds only sound"),
    ("portrait.png", portrait, "is a still picture"),
    ("renamed.mp4", renamed_portrait, "is a still picture"),
    ("letter.txt", lambda path: path.write_text("dear camera\n" * 50), "is a text file"),
    (
        "wide.avi",
        lambda path: write_video(path, 1, (8208, 16), codec="mjpeg"),
        "is 8208x16; at most 8192 a side",
    ),
    ("fifo.mp4", os.mkfifo, "is neither a video file nor a camera"),
]


@pytest.mark.parametrize(("name", "make", "expected"), BAD_FILES, ids=[name for name, _, _ in BAD_FILES])
def test_a_file_that_is_no_video_is_refused_in_one_line(
    name: str, make: Callable[[Path], Any], expected: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    make(path)
    message = refusal(path)
    assert message.count(str(path)) == 1
    assert "Errno" not in message
    assert expected in message
    with pytest.raises(CameraError) as offline:
        camera.read_video(path)
    assert str(offline.value) == message


def test_a_file_that_may_not_be_read(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # root, who may run the tests, may read anything
    assert refusal(clip) == f"{clip} may not be read by this user; allow it with: chmod u+r {clip}"


def test_too_many_megapixels_are_refused() -> None:
    video.check_size((8000, 5000), "x")
    with pytest.raises(CameraError, match="8001x5000; at most 8192 a side and 40 megapixels"):
        video.check_size((8001, 5000), "x")
    with pytest.raises(CameraError, match="no picture size"):
        video.check_size((0, 0), "x")


def test_a_damaged_picture_does_not_end_a_video(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.avi", codec="mjpeg")
    data = bytearray(path.read_bytes())
    third = [at for at in range(len(data)) if data.startswith(b"\xff\xd8", at)][2]
    data[third : third + 600] = bytes(600)
    path.write_bytes(data)
    with camera.read_video(path) as opened:
        assert levels(opened) == [0, 1, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("size", "limit", "expected"),
    [
        ((640, 480), (1280, 720), (640, 480)),
        ((1920, 1080), (1280, 720), (1280, 720)),
        ((1080, 1920), (1280, 720), (720, 1280)),
        ((4000, 3000), (1280, 720), (960, 720)),
        ((4000, 3000), None, (4000, 3000)),
        ((8000, 1), (1280, 720), (1280, 1)),
    ],
)
def test_fitted_keeps_the_shape(
    size: tuple[int, int], limit: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    assert video.fitted(size, limit) == expected
