"""Everything a person may hand us by mistake: one line that says what to do, and the documented exit code."""

import wave
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
import openpeople
import pytest
from PIL import Image

from xpcam import cli
from xpcam.inference import providers

Make = Callable[[Path], list[str]]


def portrait(side: int = 640) -> Image.Image:
    """A generated person that no engine was trained on."""
    with Image.open(openpeople.curated.get("P009").asset_path("studio_portrait")) as image:
        return image.convert("RGB").resize((side, side))


@pytest.fixture(scope="session")
def good_target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("target") / "face.png"
    portrait().save(path)
    return path


def saved(path: Path, image: Image.Image, **how: object) -> str:
    image.save(path, **how)  # type: ignore[arg-type]
    return str(path)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def two_faces(folder: Path) -> str:
    both = Image.new("RGB", (1280, 640))
    both.paste(portrait(), (0, 0))
    both.paste(portrait().transpose(Image.Transpose.FLIP_LEFT_RIGHT), (640, 0))
    return saved(folder / "two.png", both)


def small_face(folder: Path) -> str:
    wide = Image.new("RGB", (1600, 1200), (90, 100, 110))
    wide.paste(portrait(72), (700, 500))
    return saved(folder / "small.png", wide)


def faceless(folder: Path) -> str:
    noise = np.random.default_rng(5).integers(0, 256, (60, 80, 3), np.uint8)
    return saved(folder / "noise.png", Image.fromarray(noise).resize((800, 600)))


def animation(folder: Path) -> str:
    frames = [Image.new("RGB", (80, 80), 40 * index) for index in range(3)]
    return saved(folder / "a.webp", frames[0], save_all=True, append_images=frames[1:])


def cut_jpeg(folder: Path) -> str:
    path = folder / "whole.jpg"
    portrait().save(path)
    return written(folder / "cut.jpg", path.read_bytes()[:9000])


def sound(folder: Path) -> str:
    with wave.open(str(folder / "sound.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(16000))
    return str(folder / "sound.wav")


def config(folder: Path, text: str) -> list[str]:
    return ["--config", written(folder / "config.toml", text.encode())]


@dataclass(frozen=True)
class Case:
    """Arguments that replace or join those of a good `xpcam start`, and what must come of it."""

    arguments: Make
    code: int
    says: str


CASES = {
    "target: missing": Case(lambda d: ["--target", str(d / "x.png")], 3, "no such file"),
    "target: folder without pictures": Case(lambda d: ["--target", str(d)], 3, "at least one picture"),
    "target: text named .png": Case(
        lambda d: ["--target", written(d / "t.png", b"hello")], 3, "not a picture"
    ),
    "target: zero bytes": Case(lambda d: ["--target", written(d / "z.png", b"")], 3, "not a picture"),
    "target: truncated JPEG": Case(lambda d: ["--target", cut_jpeg(d)], 3, "damaged"),
    "target: 1x1": Case(lambda d: ["--target", saved(d / "1.png", Image.new("RGB", (1, 1)))], 3, "1x1"),
    "target: 12000x12000": Case(
        lambda d: ["--target", saved(d / "h.png", Image.new("1", (12000, 12000)))], 3, "12000x12000"
    ),
    "target: animated": Case(lambda d: ["--target", animation(d)], 3, "animation of 3 frames"),
    "target: no face": Case(lambda d: ["--target", faceless(d)], 3, "no face found"),
    "target: two faces": Case(lambda d: ["--target", two_faces(d)], 3, "2 faces found"),
    "target: small face": Case(lambda d: ["--target", small_face(d)], 3, "face"),
    "camera: missing file": Case(lambda d: ["--camera", str(d / "x.mp4")], 4, "x.mp4"),
    "camera: folder": Case(lambda d: ["--camera", str(d)], 4, "is a folder"),
    "camera: zero bytes": Case(lambda d: ["--camera", written(d / "z.mp4", b"")], 4, "is empty"),
    "camera: text named .mp4": Case(lambda d: ["--camera", written(d / "t.mp4", b"hello " * 99)], 4, "t.mp4"),
    "camera: sound only": Case(lambda d: ["--camera", sound(d)], 4, "only sound"),
    "camera: a picture": Case(
        lambda d: ["--camera", saved(d / "p.png", Image.new("RGB", (64, 64)))], 4, "still"
    ),
    "camera: unknown label": Case(lambda d: ["--camera", "Nobody's Webcam"], 4, "Nobody's Webcam"),
    "camera: index without device": Case(lambda d: ["--camera", "97"], 4, "97"),
    "camera: unknown kind of stream": Case(lambda d: ["--camera", "gopher://127.0.0.1/x"], 4, "gopher"),
    "camera: stream refused": Case(
        lambda d: ["--camera", "http://127.0.0.1:9/x.mjpg"], 4, "cannot be opened"
    ),
    "output: no such folder": Case(lambda d: ["--output", str(d / "no" / "a.mp4")], 5, "no folder"),
    "output: a folder": Case(lambda d: ["--output", made(d / "a.mp4")], 5, "is a folder"),
    "output: unknown kind": Case(lambda d: ["--output", str(d / "a.avi")], 5, "no output"),
    "output: place that refuses": Case(lambda d: ["--output", "/proc/a.mp4"], 5, "cannot be"),
    "output: the driver itself": Case(
        lambda d: ["--camera", written(d / "a.mp4", b"x"), "--output", str(d / "a.mp4")],
        2,
        "driver video itself",
    ),
    "output: no device": Case(lambda d: ["--output", "/dev/video98"], 5, "/dev/video98"),
    "config: unknown key": Case(lambda d: config(d, "moth = 1.0"), 2, "mouth"),
    "config: wrong type": Case(lambda d: config(d, 'head = "much"'), 2, "head"),
    "config: out of bounds": Case(lambda d: config(d, "fps = 1000"), 2, "fps"),
    "config: not TOML": Case(lambda d: config(d, "fps: 30"), 2, "not TOML"),
    "config: missing": Case(lambda d: ["--config", str(d / "no.toml")], 2, "no.toml"),
    "flag: odd size": Case(lambda d: ["--size", "641x480"], 2, "size"),
    "flag: contact sheet of a webcam": Case(
        lambda d: ["--camera", "0", "--contact-sheet", str(d / "s.png")], 2, "contact_sheet"
    ),
    "device: no GPU": Case(lambda d: ["--device", "cuda"], 6, "--device cuda"),
}


def made(folder: Path) -> str:
    folder.mkdir()
    return str(folder)


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr("sys.argv", ["xpcam", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0)


@pytest.mark.parametrize("name", CASES)
def test_one_line_and_its_exit_code(
    name: str,
    good_target: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    case = CASES[name]
    if name == "device: no GPU" and providers.count_gpus():
        pytest.skip("this machine has a GPU")
    good = ["--target", str(good_target), "--camera", "demo", "--output", "none", "--frames", "2"]
    code = run(monkeypatch, ["start", *good, "--log-level", "error", *case.arguments(tmp_path)])
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert (code, len(lines)) == (case.code, 1), lines
    assert lines[0].startswith("xpcam: ")
    assert case.says in lines[0]
    assert "Traceback" not in lines[0]


def test_a_wrong_environment_variable(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XPCAM_HED", "1")
    assert run(monkeypatch, ["start", "--camera", "demo"]) == 2
    assert "XPCAM_HEAD" in capsys.readouterr().err


def test_no_target(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, ["start", "--camera", "demo", "--output", "none"]) == 2
    assert "--target" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["16 bits", "RGBA", "grey", "turned by EXIF", "CMYK", "palette"])
def test_unusual_pictures_work(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image, path = portrait(), tmp_path / "face.png"
    if kind == "16 bits":
        grey = np.asarray(image.convert("L"), np.uint16) * 257
        cv2.imwrite(str(path), grey)
    elif kind == "turned by EXIF":
        path, exif = tmp_path / "face.jpg", Image.Exif()
        exif[0x0112] = 8
        image.transpose(Image.Transpose.ROTATE_270).save(path, exif=exif)
    elif kind == "CMYK":
        path = tmp_path / "face.jpg"
        image.convert("CMYK").save(path)
    else:
        image.convert({"RGBA": "RGBA", "grey": "L", "palette": "P"}[kind]).save(path)
    clip = tmp_path / "out.mp4"
    start = ["start", "--target", str(path), "--camera", "demo", "--output", str(clip), "--frames", "3"]
    assert run(monkeypatch, [*start, "--size", "320x240"]) == 0
    assert "frames generated" in capsys.readouterr().out
    with av.open(str(clip)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 3
