"""Settings: where values come from, what is refused, and how that is said."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from xpcam.errors import SettingsError
from xpcam.settings import Settings, default_config, load_settings


def write_config(folder: Path, text: str) -> Path:
    path = folder / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_later_sources_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write_config(tmp_path, 'fps = 10\nmouth = 0.5\nhead = 0.1\ncamera = "demo"\n')
    monkeypatch.setenv("XPCAM_MOUTH", "0.6")
    monkeypatch.setenv("XPCAM_HEAD", "0.2")
    settings = load_settings({"head": "0.3"}, config=config)
    assert (settings.fps, settings.mouth, settings.head, settings.eyes) == (10, 0.6, 0.3, 1.0)


def test_the_default_file_is_read_from_xdg_config_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert default_config() == tmp_path / "xpcam" / "config.toml"
    assert load_settings({}).fps == 30
    default_config().parent.mkdir()
    write_config(default_config().parent, "fps = 24\n")
    assert load_settings({}).fps == 24


def test_the_constructor_reads_no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPCAM_FPS", "5")
    assert Settings().fps == 30
    assert load_settings({}).fps == 5


@pytest.mark.parametrize(
    ("flags", "name", "value"),
    [
        ({"size": "640x480"}, "size", (640, 480)),
        ({"size": "640X480"}, "size", (640, 480)),
        ({"camera": "1"}, "camera", "1"),
        ({"mirror": True}, "mirror", True),
        ({"target": "~/face.png"}, "target", Path.home() / "face.png"),
        ({"target": "~nobody-here/face.png"}, "target", Path("~nobody-here/face.png")),
        ({"output": "~/clip.mp4"}, "output", str(Path.home() / "clip.mp4")),
        ({"output": "auto"}, "output", "auto"),
        ({"mouth": "0"}, "mouth", 0.0),
        ({"mouth": "2"}, "mouth", 2.0),
        ({"device": "tensorrt"}, "device", "tensorrt"),
    ],
)
def test_text_is_converted(flags: dict[str, object], name: str, value: object) -> None:
    assert getattr(load_settings(flags), name) == value


def test_toml_types_are_taken(tmp_path: Path) -> None:
    config = write_config(tmp_path, "camera = 2\nsize = [320, 240]\nmirror = true\nseconds = 3\n")
    settings = load_settings({}, config=config)
    assert (settings.camera, settings.size, settings.mirror, settings.seconds) == ("2", (320, 240), True, 3.0)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"mouth": "2.1"}, "--mouth: found '2.1', wanted a number from 0 to 2"),
        ({"head": "-0.1"}, "--head: found '-0.1', wanted a number from 0 to 1.5"),
        ({"head": "nan"}, "--head: found 'nan'"),
        ({"seconds": "inf"}, "--seconds: found 'inf'"),
        ({"fps": "0"}, "--fps: found '0', wanted a whole number from 1 to 120"),
        ({"fps": "29.97"}, "--fps: found '29.97', wanted a whole number"),
        ({"fps": "fast"}, "--fps: found 'fast'"),
        ({"size": "641x480"}, "--size: found '641x480', wanted WIDTHxHEIGHT, both even, 64 to 4096"),
        ({"size": "62x480"}, "--size: found '62x480'"),
        ({"size": "640x4098"}, "--size: found '640x4098'"),
        ({"size": "640"}, "--size: found '640'"),
        ({"size": "-640x480"}, "--size: found '-640x480'"),
        ({"device": "gpu"}, "--device: found 'gpu', wanted auto or cpu or cuda or tensorrt"),
        ({"tracker": "dlib"}, "--tracker: found 'dlib', wanted face_params"),
        ({"log_level": "loud"}, "--log-level: found 'loud', wanted debug or info"),
        ({"threads": "-1"}, "--threads: found '-1', wanted a whole number from 0 to 64"),
        ({"contact_sheet": "sheet.png"}, "contact_sheet shows the driver's pixels, found camera '0'"),
        ({"contact_sheet": "s.png", "camera": "rtsp://host/a"}, "found camera 'rtsp://host/a'"),
        ({"contact_sheet": "s.png", "camera": "/dev/video0"}, "found camera '/dev/video0'"),
        ({"contact_sheet": "sheet.jpg", "camera": "demo"}, "wanted a name ending in .png"),
        ({"fsp": "30"}, "unknown setting --fsp among the flags: nearest is --fps"),
    ],
)
def test_wrong_flags_are_named_in_one_line(flags: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings(flags)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mouht = 1.0\n", "unknown setting mouht in {}: nearest is mouth"),
        ("[start]\nfps = 30\n", "unknown setting start in {}: nearest is "),
        ('fps = "fast"\n', "fps in {}: found 'fast', wanted a whole number from 1 to 120"),
        ("fps = true\n", "fps in {}: found True"),
        ("target = 3\n", "target in {}: found 3, wanted a path"),
        ("mirror = 2\n", "mirror in {}: found 2, wanted true or false"),
        ("size = [640, 480, 3]\n", "size in {}: found [640, 480, 3]"),
        ("size = [640.0, 480.0]\n", "size in {}: found [640.0, 480.0]"),
        ("fps = = 3\n", "{} is not TOML"),
    ],
)
def test_wrong_files_are_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    config = write_config(tmp_path, text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, config=config)
    assert message.format(config) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match="is not TOML"):
        load_settings({}, config=path)


def test_a_file_asked_for_must_exist(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot read .*nowhere.toml .* check --config"):
        load_settings({}, config=tmp_path / "nowhere.toml")


def test_the_environment_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XPCAM_MEDIAPIPE_TASK", "/somewhere")
    monkeypatch.setenv("XPCAM_MOUTH", "")
    assert load_settings({}).mouth == 1.0
    monkeypatch.setenv("XPCAM_MOUTH", "wide")
    with pytest.raises(SettingsError, match="XPCAM_MOUTH: found 'wide', wanted a number from 0 to 2"):
        load_settings({})
    monkeypatch.setenv("XPCAM_MOUHT", "1")
    with pytest.raises(
        SettingsError, match="unknown setting XPCAM_MOUHT in the environment: nearest is XPCAM_MOUTH"
    ):
        load_settings({})


def test_a_contact_sheet_of_a_video_file_is_allowed(tmp_path: Path) -> None:
    driver = tmp_path / "driver.mp4"
    driver.touch()
    sheet = str(tmp_path / "sheet.png")
    assert load_settings({"camera": str(driver), "contact_sheet": sheet}).contact_sheet == Path(sheet)
    assert load_settings({"camera": "demo", "contact_sheet": sheet}).contact_sheet == Path(sheet)


@pytest.mark.parametrize("sheet", [{}, {"contact_sheet": "sheet.png"}])
@pytest.mark.parametrize("spelled", ["{}", "file://{}", "~/a clip.mp4", "./a clip.mp4", "link.mp4"])
def test_a_driver_video_is_never_written_over(
    sheet: dict[str, str], spelled: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    driver = tmp_path / "a clip.mp4"
    driver.touch()
    (tmp_path / "link.mp4").symlink_to(driver)
    camera = spelled.format(str(driver).replace(" ", "%20") if "file:" in spelled else driver)
    with pytest.raises(SettingsError, match="output .*a clip.mp4 is the driver video itself"):
        load_settings({"camera": camera, "output": "~/a clip.mp4", **sheet})
    assert load_settings({"camera": camera, "output": "other.mp4", **sheet}).camera == camera


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            {"target": "face.png", "contact_sheet": "./face.png"},
            "contact_sheet face.png is the target itself",
        ),
        ({"target": "t.mp4", "output": "t.mp4"}, "output t.mp4 is the target itself"),
        ({"camera": "d.png", "contact_sheet": "d.png"}, "contact_sheet d.png is the driver video itself"),
        ({"output": "new.png", "contact_sheet": "~/new.png"}, "new.png is the output itself"),
    ],
)
def test_nothing_that_is_read_or_written_is_written_over(
    flags: dict[str, str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for name in ("face.png", "d.png", "t.mp4"):
        (tmp_path / name).touch()
    with pytest.raises(SettingsError, match=message):
        load_settings({"camera": "demo", **flags})


@pytest.mark.parametrize("camera", ["0", "/dev/video0", "file:///dev/video0"])
def test_a_file_named_like_a_device_does_not_allow_its_contact_sheet(
    camera: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "0").touch()
    with pytest.raises(SettingsError, match="contact_sheet shows the driver's pixels, found camera"):
        load_settings({"camera": camera, "contact_sheet": "sheet.png"})


@pytest.mark.parametrize("output", ["auto", "/dev/video3", "v4l2:/dev/video3", "pyvirtualcam:obs"])
def test_a_rendering_goes_to_no_camera(output: str) -> None:
    with pytest.raises(SettingsError, match=f"--output {output} is a camera.* wanted a video file or none"):
        Settings(output=output).require_recording()
    assert Settings(output="none").require_recording() == Path("none")
    assert Settings(output="a.mp4").require_recording() == Path("a.mp4")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Settings().fps = 3


def test_a_missing_target_says_what_to_do() -> None:
    with pytest.raises(SettingsError, match="use --target face.png"):
        Settings().require_target()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_default_is_described_and_within_its_own_bounds(name: str) -> None:
    info = Settings.model_fields[name]
    assert info.description
    given = {} if info.default is None else {name: str(info.default)}
    assert getattr(load_settings(given), name) == getattr(Settings(), name)


def test_x2face_turns_the_head_as_far_as_the_person_unless_told_otherwise(tmp_path: Path) -> None:
    missing = write_config(tmp_path, "")
    assert load_settings({}, config=missing).head == 0.6
    assert load_settings({"engine": "x2face"}, config=missing).head == 1.0
    assert load_settings({"engine": "x2face", "head": "0.4"}, config=missing).head == 0.4
    config = write_config(tmp_path, 'engine = "x2face"\nhead = 0.8\n')
    assert load_settings({}, config=config).head == 0.8
