import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from faces import face, portrait, pose
from PIL import Image

from xpcam.errors import TargetError
from xpcam.face.landmarks import FACE_OVAL, FACE_POINTS, INNER_LIPS
from xpcam.target import still as target
from xpcam.target.still import OPENINGS, RING_PLACES


def saved(path: Path, image: Image.Image, **how: Any) -> Path:
    image.save(path, **how)
    return path


def grey(width: int = 200, height: int = 100, mode: str = "RGB") -> Image.Image:
    return Image.new(mode, (width, height), 120)


def test_reads_bgr_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (120, 80), (255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    pixels = target.load_picture(saved(tmp_path / "a.jpg", image, exif=exif, quality=95))
    assert pixels.shape == (120, 80, 3)
    assert pixels[60, 40, 2] > 240
    assert pixels[60, 40, 0] < 15
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P", "CMYK", "1"])
def test_every_colour_mode_becomes_three_channels(tmp_path: Path, mode: str) -> None:
    image = grey().convert(mode) if mode in ("P", "CMYK", "1") else Image.new(mode, (200, 100))
    suffix = "jpg" if mode == "CMYK" else "png"
    assert target.load_picture(saved(tmp_path / f"a.{suffix}", image)).shape == (100, 200, 3)


def test_sixteen_bits_keep_their_brightness(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((80, 80), 32768, np.uint16))
    assert abs(int(target.load_picture(tmp_path / "a.png")[40, 40, 0]) - 128) <= 1


def test_transparency_lies_on_grey(tmp_path: Path) -> None:
    pixels = target.load_picture(saved(tmp_path / "a.png", Image.new("RGBA", (80, 80), (255, 255, 255, 0))))
    assert (pixels == 128).all()


def bad_pictures(folder: Path) -> dict[str, tuple[Path, str]]:
    """Path and what the message must say, by name."""
    made = {}
    (folder / "text.png").write_text("not a picture at all")
    made["text"] = (folder / "text.png", "not a picture")
    whole = io.BytesIO()
    Image.effect_noise((300, 300), 80).convert("RGB").save(whole, "JPEG")
    (folder / "cut.jpg").write_bytes(whole.getvalue()[:4000])
    made["truncated"] = (folder / "cut.jpg", "damaged")
    (folder / "zero.png").touch()
    made["zero bytes"] = (folder / "zero.png", "not a picture")
    made["one pixel"] = (saved(folder / "one.png", grey(1, 1)), "1x1")
    made["huge"] = (saved(folder / "huge.png", Image.new("1", (12000, 12000))), "12000x12000")
    header = bytearray(saved(folder / "h.bmp", grey(80, 80)).read_bytes())
    header[18:26] = (60000).to_bytes(4, "little") * 2
    (folder / "gigantic.bmp").write_bytes(header)
    made["gigantic"] = (folder / "gigantic.bmp", "far too many pixels")
    frames = [grey(80, 80), Image.new("RGB", (80, 80), 30)]
    made["animated"] = (
        saved(folder / "a.gif", frames[0], save_all=True, append_images=frames[1:]),
        "animation of 2",
    )
    made["missing"] = (folder / "nowhere.png", "no such file")
    made["folder"] = (folder, "no such file")
    (folder / "drawing.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    made["svg"] = (folder / "drawing.svg", "not a picture")
    return made


@pytest.mark.parametrize(
    "name",
    [
        "text",
        "truncated",
        "zero bytes",
        "one pixel",
        "huge",
        "gigantic",
        "animated",
        "missing",
        "folder",
        "svg",
    ],
)
def test_bad_pictures_are_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path, says = bad_pictures(tmp_path)[name]
    with pytest.raises(TargetError, match=says) as caught:
        target.load_picture(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_too_many_bytes_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(target.MAX_BYTES + 1)
    with pytest.raises(TargetError, match="MB"):
        target.load_picture(path)


def test_no_face_two_faces_small_face() -> None:
    path = Path("p.png")
    with pytest.raises(TargetError, match="no face found"):
        target.the_face(path, [])
    with pytest.raises(TargetError, match="2 faces found"):
        target.the_face(path, [face(), face(where=pose(scale=120))])
    with pytest.raises(TargetError, match="too small"):
        target.the_face(path, [face(where=pose(scale=10))])
    in_front = face()
    assert target.the_face(path, [in_front, face(where=pose(scale=40))]) is in_front


@pytest.mark.parametrize("size", [(1280, 720), (720, 1280), (640, 480), (64, 64)])
def test_the_picture_is_fitted_and_the_rest_filled(size: tuple[int, int]) -> None:
    params = face()
    picture = portrait(params)
    prepared = target.prepare(picture, params, size)
    assert prepared.picture.shape == (size[1], size[0], 3)
    left, top, right, bottom = prepared.bounds
    assert (right - left) / (bottom - top) == pytest.approx(640 / 480, rel=0.05)
    assert right - left == size[0] or bottom - top == size[1]
    scale = (right - left) / 640
    moved = params.landmarks[:, :2] * scale + (left, top)
    elsewhere = np.setdiff1d(np.arange(len(moved)), INNER_LIPS)  # shut lips meet on the line between them
    np.testing.assert_allclose(prepared.params.landmarks[elsewhere, :2], moved[elsewhere], atol=1.0)
    if (left, top) != (0, 0):
        assert prepared.picture[0, 0].any()  # no black bar


def test_the_mesh_ends_still_before_the_border() -> None:
    for where in (pose(), pose(at=(90, 200)), pose(at=(320, 60)), pose(scale=260)):
        params = face(where=where)
        bounds = (0, 0, 640, 480)
        mesh = target.build_mesh(params, bounds)
        rings = mesh.still[FACE_POINTS + len(OPENINGS) :].reshape(len(RING_PLACES), len(FACE_OVAL), 2)
        weights = mesh.ring_weight.reshape(len(RING_PLACES), -1)
        assert (weights[-1] == 0).all()
        assert (np.diff(weights, axis=0) < 0).all()
        inside = (
            params.landmarks[list(FACE_OVAL), 0].min() > 8 and params.landmarks[list(FACE_OVAL), 1].min() > 8
        )
        if inside and params.landmarks[list(FACE_OVAL), 1].max() < 470:
            assert (rings >= -1).all()
            assert (rings <= (640, 480)).all()
        assert mesh.triangles.max() < len(mesh.still)
