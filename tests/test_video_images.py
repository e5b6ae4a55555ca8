"""Videos to pictures and back: which, in what order, and what is refused."""

import errno
import shutil
import zlib
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from conftest import Run
from test_virtual_camera_sound import make_driver
from videos import GREY_STEP, write_video

from xpcam.errors import CameraError, OutputError
from xpcam.progress import unseen
from xpcam.video_images import natural, pictures_of, to_images, to_video


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "video.mp4", 8)


def picture(path: Path, grey: int, size: tuple[int, int] = (64, 64)) -> Path:
    path.parent.mkdir(exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), grey, np.uint8))
    return path


def greys(video: Path) -> list[int]:
    with av.open(str(video)) as container:
        return [int(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_frame_becomes_a_picture(video: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    done = to_images(video, tmp_path / "out", lambda *at: told.append(at))
    assert (done.count, done.size, done.fps) == (8, (64, 48), 10.0)
    assert names(tmp_path / "out") == [f"frame-{number:06d}.png" for number in range(8)]
    fourth = cv2.imread(str(tmp_path / "out" / "frame-000003.png"))
    assert fourth is not None and abs(float(fourth.mean()) - 3 * GREY_STEP) < 4
    assert told[-1] == (8, 8)


def test_pictures_keep_the_number_of_their_frame(video: Path, tmp_path: Path) -> None:
    done = to_images(video, tmp_path / "third", unseen, every=3, kind="jpg")
    assert names(tmp_path / "third") == ["frame-000000.jpg", "frame-000003.jpg", "frame-000006.jpg"]
    assert done.fps == pytest.approx(10 / 3)


@pytest.mark.parametrize(("fps", "numbers"), [(5.0, [0, 2, 4, 6]), (4.0, [0, 3, 5]), (50.0, list(range(8)))])
def test_no_more_than_so_many_a_second(fps: float, numbers: list[int], video: Path, tmp_path: Path) -> None:
    done = to_images(video, tmp_path / "out", unseen, fps=fps)
    assert [int(name[6:12]) for name in names(tmp_path / "out")] == numbers
    assert done.fps == min(fps, 10.0)


def test_a_folder_that_holds_something_is_left_alone(video: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    to_images(video, folder, unseen)
    (folder / "mine.txt").touch()
    with pytest.raises(OutputError, match="holds 9 files: wanted an empty folder; .* --force"):
        to_images(video, folder, unseen, every=4)
    to_images(video, folder, unseen, every=4, force=True)
    assert names(folder) == ["frame-000000.png", "frame-000004.png", "mine.txt"]


def test_a_full_disk_ends_it_with_whole_pictures(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Path.write_bytes

    def until_full(path: Path, data: bytes) -> int:
        if "frame-000002" in path.name:
            write(path, data[:10])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(OutputError, match="No space left on device.: 2 are there; free some space"):
        to_images(video, tmp_path / "out", unseen)
    assert names(tmp_path / "out") == ["frame-000000.png", "frame-000001.png"]


def test_the_disk_is_not_filled_to_its_end(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    with pytest.raises(OutputError, match="less than 64 MB would stay free"):
        to_images(video, tmp_path / "out", unseen)
    assert names(tmp_path / "out") == []


def test_names_are_ordered_as_people_do() -> None:
    wanted = [
        "a.png",
        "img2.png",
        "img10.png",
        "Img10b.png",
        "img10c.png",
        "img100.png",
        "z1-9.png",
        "z1-10.png",
    ]
    backwards = wanted[::-1]
    assert sorted(backwards, key=natural) == wanted


def test_pictures_become_a_video_in_that_order(tmp_path: Path) -> None:
    for number in (1, 2, 10, 20):
        picture(tmp_path / "in" / f"img{number}.png", 10 * number)
    (tmp_path / "in" / "notes.txt").touch()
    done = to_video(tmp_path / "in", tmp_path / "out.mp4", unseen, fps=12.5)
    assert (done.count, done.size) == (4, (64, 64))
    assert greys(tmp_path / "out.mp4") == pytest.approx([10, 20, 100, 200], abs=3)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].average_rate == 12.5
    to_video(tmp_path / "in", tmp_path / "half.mp4", unseen, every=2)
    assert greys(tmp_path / "half.mp4") == pytest.approx([10, 100], abs=3)


def test_there_and_back(tmp_path: Path) -> None:
    driver = make_driver(tmp_path / "driver.mkv", "aac")
    done = to_images(driver, tmp_path / "out", unseen)
    to_video(tmp_path / "out", tmp_path / "again.mp4", unseen, fps=done.fps, sound=driver)
    with av.open(str(tmp_path / "again.mp4")) as container:
        assert container.streams.video[0].frames == done.count == 50
        sounds = [frame.time for frame in container.decode(audio=0)]
    assert sounds[-1] is not None and 1.8 < sounds[-1] < 2.1


def test_sizes_that_differ_are_refused_or_fitted(tmp_path: Path) -> None:
    picture(tmp_path / "in" / "a.png", 50)
    picture(tmp_path / "in" / "b.png", 90, (128, 64))
    (tmp_path / "out.mp4").write_bytes(b"precious")
    with pytest.raises(CameraError, match="b.png is 128x64 pixels, those before it 64x64: .*--size 64x64"):
        to_video(tmp_path / "in", tmp_path / "out.mp4", unseen, force=True)
    assert names(tmp_path) == ["in", "out.mp4"]
    assert (tmp_path / "out.mp4").read_bytes() == b"precious"
    assert to_video(tmp_path / "in", tmp_path / "out.mp4", unseen, size=(64, 64), force=True).count == 2


def test_an_odd_side_loses_its_last_row(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    picture(tmp_path / "in" / "a.png", 50, (65, 67))
    assert to_video(tmp_path / "in", tmp_path / "out.mkv", unseen).size == (64, 66)
    assert "65x67" in caplog.text


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["video2images", "no.mp4", "out"], 4, "no video file no.mp4"),
        (["video2images", "bad.png", "out"], 4, "bad.png"),
        (["video2images", "good.mp4", "in"], 5, "in holds 1 files"),
        (["video2images", "good.mp4", "good.mp4"], 5, "good.mp4 cannot be written"),
        (["video2images", "good.mp4", "out", "--every", "0"], 2, ""),
        (["images2video", "nowhere", "out.mp4"], 4, "nowhere cannot be read"),
        (["images2video", "empty", "out.mp4"], 4, "empty holds 0 pictures"),
        (["images2video", "broken", "out.mp4"], 4, "not a picture that can be used"),
        (["images2video", "huge", "out.mp4"], 4, "pixels; at most 50 million"),
        (["images2video", "in", "good.mp4"], 5, "good.mp4 is there already"),
        (["images2video", "in", "out.gif"], 5, "out.gif is no video file"),
        (["images2video", "in", "out.mp4", "--size", "9"], 2, "--size: found '9'"),
        (["images2video", "in", "out.mp4", "--sound", "good.mp4"], 4, "--sound good.mp4 has no sound"),
        (["images2video", "in", "out.mp4", "--sound", "no.wav"], 4, "the sound of no.wav cannot be read"),
    ],
)
def test_what_cannot_be_is_one_line_and_a_code(
    arguments: list[str],
    code: int,
    message: str,
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(Path("good.mp4"), 2)
    picture(Path("in/a.png"), 50)
    for folder, content in (("empty", None), ("broken", b"no picture"), ("huge", b"P5 90000 90000 255\n")):
        Path(folder).mkdir()
        if content:
            Path(folder, "a.png").write_bytes(content)
    cv2.imwrite("huge/a.png", np.zeros((1, 8), np.uint8))
    header = bytearray(Path("huge/a.png").read_bytes())
    header[16:24] = (60_000).to_bytes(4, "big") * 2  # what a picture says of itself, before it is decoded
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    Path("huge/a.png").write_bytes(bytes(header))
    Path("bad.png").write_bytes(b"no video")
    assert run(*arguments) == code
    shown = capsys.readouterr()
    assert message in shown.err
    assert shown.out == ""
    assert not Path("out.mp4").exists()
    if message:
        assert shown.err.count("\n") == 1


def test_the_commands_say_what_they_did(
    run: Run, video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("video2images", "video.mp4", "out", "--every", 2, "--format", "jpg") == 0
    assert capsys.readouterr().out.splitlines() == [
        "out: 4 pictures of 64x48",
        "back to a video: xpcam images2video out NAME.mp4 --fps 5",
    ]
    (tmp_path / "out" / "frame-000007.jpg").touch()
    assert [path.name for path in pictures_of(tmp_path / "out")][-1] == "frame-000007.jpg"
