"""The command line: flags become settings, errors one line and a code."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import Run

from xpcam import __version__, bench, builders, cli, daemon, devices, errors, offline
from xpcam.bench import BenchResult
from xpcam.devices import Device
from xpcam.frame import FaceParams, Pose
from xpcam.meter import STAGES, RunReport
from xpcam.settings import Settings

REPORT = RunReport(300, 301, 2, 10.0, 30.0, 12.0, 20.0, dict.fromkeys(STAGES, 1.0), 200.0)
COMMANDS = ("start", "render", "track", "inspect", "devices", "bench", "version")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """Settings of every live run, none of which really runs."""
    seen: list[Settings] = []

    def run_live(settings: Settings, bar: object) -> RunReport:
        seen.append(settings)
        return REPORT

    monkeypatch.setattr(daemon, "run_live", run_live)
    return seen


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_every_command(command: str, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--help") == 0
    assert f"Usage: xpcam {command}" in capsys.readouterr().out


def test_help_lists_commands_and_exit_codes(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(command in shown for command in COMMANDS)
    for error in errors.XpcamError.__subclasses__():
        assert f"{error.exit_code} " in cli.EXIT_CODES


def test_start_has_a_flag_for_every_setting(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run("start", "--help")
    shown = capsys.readouterr().out
    for name, info in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in shown
        assert str(info.description)[:40] in shown
    assert "default 1280x720" in shown
    assert "from 0 to 1.5" in shown


def test_flags_reach_the_run(run: Run, started: list[Settings], capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        run("start", "--target", "face.png", "--size", "640x480", "--mirror", "--no-loop", "--head", 0) == 0
    )
    (settings,) = started
    assert settings.target == Path("face.png")
    assert (settings.size, settings.mirror, settings.loop, settings.head) == ((640, 480), True, False, 0.0)
    shown = capsys.readouterr().out
    assert "30.0 per second" in shown
    assert "20.0 ms p95" in shown


def test_a_configuration_file_is_taken(run: Run, started: list[Settings], tmp_path: Path) -> None:
    config = tmp_path / "mine.toml"
    config.write_text("fps = 12\nmouth = 0.5\n")
    assert run("start", "--config", config, "--mouth", 1.5) == 0
    assert (started[0].fps, started[0].mouth) == (12, 1.5)


def test_the_contact_sheet_is_named(
    run: Run, started: list[Settings], capsys: pytest.CaptureFixture[str]
) -> None:
    run("start", "--camera", "demo", "--contact-sheet", "sheet.png")
    assert "contact sheet: sheet.png" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["start", "--fps", "300"], "--fps: found '300', wanted a whole number from 1 to 120"),
        (["start", "--config", "nowhere.toml"], "cannot read nowhere.toml"),
        (["start", "--contact-sheet", "s.png"], "found camera '0'"),
        (["start"], "no target given"),
        (["start", "--detach"], "no target given"),
        (["start", "--target", "a.png", "--detach", "--no-control"], "nothing could stop the run"),
        (["start", "--name", "../x"], "--name: found '../x', wanted 1 to 32 of a-z"),
        (["start", "--profile", "A"], "--profile: found 'A', wanted 1 to 32 of a-z"),
        (["bench", "--seconds", "soon"], "--seconds: found 'soon'"),
        (["render", "--driver", "a.mp4", "--output", "b.mp4", "--mouth", "9"], "--mouth: found '9'"),
    ],
)
def test_wrong_settings_are_one_line_and_code_2(
    arguments: list[str],
    message: str,
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(builders, "open_tracker", lambda settings: pytest.fail("nothing should be opened"))
    monkeypatch.setattr(daemon, "run_live", lambda settings, bar: settings.require_target())
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("xpcam: ")
    assert message in shown.err
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["start", "--fsp", "3"], ["render"], ["track"], ["dance"]])
def test_wrong_usage_is_code_2(arguments: list[str], run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*arguments) == 2
    assert "Usage: xpcam" in capsys.readouterr().err


@pytest.mark.parametrize("error", errors.XpcamError.__subclasses__())
def test_every_named_error_has_its_code(
    error: type[errors.XpcamError],
    run: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(settings: Settings, bar: object) -> RunReport:
        raise error("something\nis wrong")

    monkeypatch.setattr(daemon, "run_live", fail)
    assert run("start") == error.exit_code
    assert capsys.readouterr().err == "xpcam: something is wrong\n"


def test_an_unknown_error_is_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(settings: Settings, bar: object) -> RunReport:
        raise ZeroDivisionError

    monkeypatch.setattr(daemon, "run_live", fail)
    monkeypatch.setattr(sys, "argv", ["xpcam", "start"])
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_interruption_is_code_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(settings: Settings, bar: object) -> RunReport:
        raise KeyboardInterrupt

    monkeypatch.setattr(daemon, "run_live", interrupt)
    assert run("start") == 130


def test_render_takes_a_driver(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen: list[tuple[Settings, Path, Path]] = []

    def render(
        settings: Settings, driver: Path, output: Path, progress: Callable[[int, int | None], None]
    ) -> RunReport:
        seen.append((settings, driver, output))
        progress(1, None)
        progress(2, 2)
        return REPORT

    monkeypatch.setattr(offline, "render_video", render)
    flags = ("--target", "t.png", "--driver", "file:///d%20e.mp4", "--output", "o.mp4", "--brows", "0.5")
    assert run("render", *flags) == 0
    settings, driver, output = seen[0]
    assert (settings.target, settings.brows) == (Path("t.png"), 0.5)
    assert (driver, output) == (Path("/d e.mp4"), Path("o.mp4"))
    assert "300 frames generated" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["start", "--camera", "demo", "--contact-sheet", "no/s.png"], 5, "there is no folder no"),
        (["render", "--driver", "demo", "--output", "a.mp4", "--contact-sheet", "no/s.png"], 5, "folder no"),
        (["render", "--driver", "demo", "--output", "auto"], 2, "--output auto is a camera"),
        (["render", "--driver", "demo", "--output", "/dev/video3"], 2, "--output /dev/video3 is a camera"),
    ],
)
def test_a_place_that_cannot_be_is_told_before_anything_runs(
    arguments: list[str],
    code: int,
    message: str,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for module, name in ((daemon, "run_live"), (offline, "render_video")):
        monkeypatch.setattr(module, name, lambda *_: pytest.fail("nothing should run"))
    assert run(*arguments) == code
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


def test_track_writes_what_was_found(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pose = Pose(np.zeros(3, np.float32), np.zeros(2, np.float32), 90.0)
    found = FaceParams(np.ones((478, 3), np.float32), pose, 0.9)

    def track(
        settings: Settings, video: Path, progress: Callable[[int, int | None], None]
    ) -> Iterator[tuple[float, FaceParams | None]]:
        assert video == Path("clip.mp4")
        yield from ((0.0, found), (0.04, None))

    monkeypatch.setattr(offline, "track_video", track)
    assert run("track", "clip.mp4", "--output", tmp_path / "t.npz") == 0
    assert "a face in 1 of 2 frames" in capsys.readouterr().out
    with np.load(tmp_path / "t.npz") as saved:
        assert saved["landmarks"].shape == (2, 478, 2)
    assert run("track", "clip.mp4", "--output", tmp_path / "t.txt") == 5
    assert run("track", "clip.mp4", "--output", tmp_path / "t.csv", "--format", "live-link") == 0
    assert (
        (tmp_path / "t.csv").read_text(encoding="utf-8").startswith("Timecode,BlendShapeCount,EyeBlinkLeft,")
    )


def test_bench_prints_json_or_a_table(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    result = BenchResult(40.0, {"p50": 20.0, "p95": 30.0}, dict.fromkeys(STAGES, 2.0), 35.0, 300.0, 5.0, 5.0)
    monkeypatch.setattr(bench, "run", lambda settings, progress: result)
    assert run("bench", "--json") == 0
    shown = json.loads(capsys.readouterr().out)
    wanted = [
        "fps",
        "latency_ms",
        "stages_ms",
        "mouth_open_fps",
        "rss_mb",
        "baseline_ms",
        "ratio",
        "engines",
        "x2face",
    ]
    assert list(shown) == wanted
    assert list(shown["latency_ms"]) == ["p50", "p95"]
    assert list(shown["stages_ms"]) == ["decode", "track", "retarget", "render", "convert", "write"]
    assert run("bench") == 0
    assert "frames per second     40.00" in capsys.readouterr().out


def test_devices_without_any(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "list_devices", list)
    assert run("devices") == 0
    assert "no video devices found" in capsys.readouterr().out


def test_a_system_that_lists_no_cameras_says_how_to_name_one(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(devices, "list_devices", list)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert run("devices") == 0
    assert "--camera takes an index (0, 1, ...)" in capsys.readouterr().out


def test_devices_are_listed_by_the_label_that_camera_takes(
    run: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    webcam = Device(
        Path("/dev/video0"), "HD Webcam", "uvcvideo", "usb-1", True, False, ("MJPG", "YUYV"), False
    )
    ours = Device(Path("/dev/video9"), "Xpression Cam", "v4l2 loopback", "", False, True, (), True)
    locked = Device(Path("/dev/video3"), "Other", "", "", False, False, (), False, "Permission denied")
    monkeypatch.setattr(devices, "list_devices", lambda: [webcam, ours, locked])
    assert run("devices") == 0
    assert capsys.readouterr().out.splitlines() == [
        '/dev/video0  "HD Webcam" (uvcvideo, usb-1): camera, MJPG YUYV',
        '/dev/video9  "Xpression Cam" (v4l2 loopback): virtual camera',
        '/dev/video3  "Other": Permission denied',
    ]


def test_the_installed_command_starts() -> None:
    command = Path(sys.executable).with_name("xpcam")
    shown = subprocess.run([command, "version"], capture_output=True, text=True, check=True, timeout=60)
    assert shown.stdout.strip() == __version__
