import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera import open_output

SIZE = (160, 96)
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128), (250, 250, 250), (5, 5, 5))


def plain(colour: tuple[int, int, int], size: tuple[int, int] = SIZE) -> Pixels:
    return np.full((size[1], size[0], 3), colour, np.uint8)


def record(path: Path, frames: int, fps: float = 30) -> None:
    """Frames of the colours in turn."""
    output = open_output(str(path), size=SIZE, fps=fps)
    for number in range(frames):
        output.write(output.convert(plain(COLOURS[number % len(COLOURS)])))
    output.close()


def decoded(path: Path) -> list[Pixels]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24").astype(np.uint8) for frame in container.decode(video=0)]


def shown_at(path: Path) -> list[float | None]:
    """When each frame is shown, in seconds."""
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".MP4"])
def test_every_frame_comes_back_in_its_colour(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    record(path, 60)
    frames = decoded(path)
    assert len(frames) == 60
    for number, frame in enumerate(frames):
        difference = np.abs(frame.astype(int) - COLOURS[number % len(COLOURS)])
        assert difference.mean() < 4, number


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_the_file_says_how_its_colours_are_coded(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"clip{suffix}"
    record(path, 5)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 6)
        assert context.color_range == 1
        assert context.pix_fmt == "yuv420p"


def boxes(path: Path) -> list[bytes]:
    """The outermost boxes of an mp4 file (ISO 14496-12, 4.2)."""
    data, at, found = path.read_bytes(), 0, []
    while at < len(data):
        size = int.from_bytes(data[at : at + 4])
        found.append(data[at + 4 : at + 8])
        at += size if size != 1 else int.from_bytes(data[at + 8 : at + 16])
    return found


def test_a_closed_file_is_an_ordinary_one(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    record(path, 90)
    found = boxes(path)
    assert b"moov" in found
    assert b"moof" not in found


@pytest.mark.parametrize("fps", [30, 25, 29.97, 12.5])
def test_constant_rate(tmp_path: Path, fps: float) -> None:
    path = tmp_path / "clip.mp4"
    record(path, 50, fps)
    assert shown_at(path) == pytest.approx([n / fps for n in range(50)], abs=1e-4)


def test_times_that_are_given_hold(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    output = open_output(str(path), size=SIZE, fps=10)
    buffer = output.convert(plain(COLOURS[0]))
    for at in (0.0, 0.11, 0.3, 0.3, 0.31, 1.0):  # jitter, a gap, twice the same
        output.write(buffer, at)
    output.write(buffer)
    output.close()
    assert shown_at(path) == pytest.approx([0, 0.1, 0.3, 0.4, 0.5, 1.0, 1.1], abs=1e-4)


def test_a_wait_for_the_first_frame_is_no_jump_back(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    output = open_output(str(path), size=SIZE, fps=10)
    for at in (-0.3, 0.0, 0.5):
        output.write(output.convert(plain(COLOURS[0])), at)
    output.close()
    assert shown_at(path) == pytest.approx([0, 0.1, 0.5], abs=1e-4)


def test_the_buffer_is_free_after_write(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    output = open_output(str(path), size=SIZE, fps=30)
    for colour in COLOURS:
        buffer = output.convert(plain(colour))
        output.write(buffer)
        buffer[:] = 0
    output.close()
    for frame, colour in zip(decoded(path), COLOURS, strict=True):
        assert np.abs(frame.astype(int) - colour).mean() < 4


def test_closing_twice_and_writing_after(tmp_path: Path) -> None:
    output = open_output(str(tmp_path / "clip.mp4"), size=SIZE, fps=30)
    buffer = output.convert(plain(COLOURS[0]))
    output.write(buffer)
    output.close()
    output.close()
    with pytest.raises(OutputError, match="is closed"):
        output.write(buffer)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_no_frames_leave_no_file(tmp_path: Path, suffix: str) -> None:
    open_output(str(tmp_path / f"clip{suffix}"), size=SIZE, fps=30).close()
    assert not list(tmp_path.iterdir())


def test_no_frames_leave_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    record(path, 3)
    open_output(str(path), size=SIZE, fps=30).close()
    assert len(decoded(path)) == 3
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("frames", [1, 2, 15, 16])
def test_short_clips(tmp_path: Path, frames: int) -> None:
    path = tmp_path / "clip.mp4"
    record(path, frames)
    assert len(decoded(path)) == frames


def test_an_older_file_is_replaced_when_the_new_one_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    record(path, 40)
    output = open_output(str(path), size=SIZE, fps=30)
    for _ in range(20):
        output.write(output.convert(plain(COLOURS[0])))
    assert len(decoded(path)) == 40
    output.close()
    assert len(decoded(path)) == 20
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_what_it_points_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "clip.mp4"
    link.symlink_to(tmp_path / "disk" / "real.mp4")
    record(link, 3)
    assert link.is_symlink()
    assert len(decoded(tmp_path / "disk" / "real.mp4")) == 3


def test_a_name_that_is_taken_at_the_end_costs_no_recording(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    output = open_output(str(path), size=SIZE, fps=30)
    output.write(output.convert(plain(COLOURS[0])))
    path.mkdir()
    with pytest.raises(OutputError, match=r"complete in .*clip\.mp4\.part; rename that"):
        output.close()
    assert len(decoded(tmp_path / "clip.mp4.part")) == 1


WRITER = """
import os, resource, sys
import numpy as np
from xpcam.errors import OutputError
from xpcam.virtual_camera import open_output
end, path = sys.argv[1:]
if end == "full":
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
output = open_output(path, size=(160, 96), fps=30)
noise = np.random.default_rng(0)
try:
    for _ in range(150):
        output.write(output.convert(noise.integers(0, 256, (96, 160, 3), np.uint8)))
    if end == "kill":
        os.kill(os.getpid(), 9)
    output.close()
except OutputError as error:
    output.close()
    sys.exit(str(error))
"""


def run_writer(end: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WRITER, end, str(path)], capture_output=True, text=True, check=False
    )


def readable(path: Path) -> int:
    """Frames that can be decoded before the file breaks off."""
    count = 0
    with av.open(str(path)) as container:
        try:
            for _ in container.decode(video=0):
                count += 1
        except av.error.InvalidDataError:
            pass
    return count


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_kill_costs_the_last_moment_only(tmp_path: Path, suffix: str) -> None:
    path, part = tmp_path / f"clip{suffix}", tmp_path / f"clip{suffix}.part"
    record(path, 3)
    assert run_writer("kill", path).returncode == -9
    assert readable(part) >= 115  # of 150: a fragment and what waited for the encoder are lost
    assert len(decoded(path)) == 3  # the older recording
    left = part.read_bytes()
    record(path, 4)
    assert part.read_bytes() == left  # nor does the next one write over it
    assert len(decoded(path)) == 4
    assert set(tmp_path.iterdir()) == {path, part}


@pytest.mark.skipif(sys.platform == "win32", reason="signals and limits of POSIX")
def test_a_full_disk_is_told_and_keeps_what_was_written(tmp_path: Path) -> None:
    path, part = tmp_path / "clip.mp4", tmp_path / "clip.mp4.part"
    record(path, 3)
    ended = run_writer("full", path)
    assert ended.returncode == 1
    assert f"{path} takes no more frames" in ended.stderr
    assert f"plays in {part}; free some space" in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert part.stat().st_size == 300_000
    assert readable(part) >= 5
    assert len(decoded(path)) == 3  # the older recording


def refused(spec: Path, size: tuple[int, int] = SIZE, audio_from: Path | None = None) -> str:
    with pytest.raises(OutputError) as caught:
        open_output(str(spec), size=size, fps=30, audio_from=audio_from)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    assert f"no folder {tmp_path / 'none'}" in refused(tmp_path / "none" / "clip.mp4")


def test_a_folder_of_that_name(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.mkdir()
    assert "is a folder" in refused(path)


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    os.mkfifo(path)
    assert "may not be written over" in refused(path)
    assert path.is_fifo()


def test_a_folder_that_may_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.symlink_to("/proc/clip.mp4")  # nobody makes files there, root neither
    assert "cannot be made" in refused(path)


def test_odd_sizes_are_refused_before_the_file_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"precious")
    assert "--size 160x96" in refused(path, (161, 97))
    assert path.read_bytes() == b"precious"


def test_the_driver_video_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    record(path, 3)
    before = path.read_bytes()
    assert "driver video itself" in refused(tmp_path / "." / "clip.mp4", audio_from=path)
    assert path.read_bytes() == before
