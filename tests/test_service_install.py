"""Installing the service: what is written where, what is never lost, what is said."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from xpcam.errors import ServiceError, SettingsError
from xpcam.service import plan as planning
from xpcam.service import written
from xpcam.service.install import install, run_command, status, uninstall
from xpcam.service.plan import Command, Plan, system_plan, user_plan
from xpcam.service.written import State

PROGRAM = Path("/usr/bin/xpcam")
Ran = list[Command]


def system(root: Path, name: str = "studio", *, config: bool = True) -> Plan:
    plan = system_plan(PROGRAM, name, root)
    if config:
        plan.config.parent.mkdir(parents=True, exist_ok=True)
        if not plan.config.exists():
            plan.config.write_text('target = "/var/lib/face.png"\n')
    return plan


@pytest.fixture
def ran() -> Ran:
    return []


@pytest.fixture
def run(ran: Ran) -> Callable[[Command], str]:
    """Notes commands, and answers with nothing."""

    def call(command: Command) -> str:
        ran.append(command)
        return ""

    return call


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """The program may be read by services, whatever this machine has."""
    if "unreachable" not in request.node.name:
        monkeypatch.setattr(planning, "_check_reachable", lambda program: None)


def test_a_system_installation_writes_its_files_and_starts(
    tmp_path: Path, ran: Ran, run: Callable[[Command], str]
) -> None:
    said: list[str] = []
    plan = system(tmp_path)
    install(plan, said.append, run=run)
    places = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert places == {
        "etc/systemd/system/xpcam@.service",
        "etc/udev/rules.d/60-xpcam.rules",
        "etc/modprobe.d/xpcam.conf",
        "etc/modules-load.d/xpcam.conf",
        "etc/xpcam/studio.toml",
    }
    assert all(file.place.stat().st_mode & 0o777 == 0o644 for file in plan.files)
    assert ran[-1] == ("systemctl", "restart", "xpcam@studio.service")
    assert ran.index(("modprobe", "v4l2loopback")) < ran.index(("systemctl", "daemon-reload"))
    assert [line.removeprefix("write ") for line in said[:4]] == [str(file.place) for file in plan.files]


def test_doing_it_again_writes_nothing(tmp_path: Path, run: Callable[[Command], str]) -> None:
    install(system(tmp_path), print, run=run)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    said: list[str] = []
    install(system(tmp_path), said.append, run=run)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert not [line for line in said if line.startswith("write ")]


def test_a_dry_run_shows_every_line_and_command_and_does_nothing(
    tmp_path: Path, ran: Ran, run: Callable[[Command], str]
) -> None:
    said: list[str] = []
    plan = system(tmp_path, config=False)
    install(plan, said.append, dry=True, run=run)
    assert list(tmp_path.iterdir()) == []
    assert ran == []
    assert [line for line in said if line.startswith("run ")] == [f"run {' '.join(c)}" for c in plan.start]
    for file in plan.files:
        assert f"write {file.place}" in said
        assert all(f"    {line}" in said for line in file.text.splitlines())


def test_a_file_of_somebody_else_stops_everything_before_it_begins(
    tmp_path: Path, ran: Ran, run: Callable[[Command], str]
) -> None:
    plan = system(tmp_path)
    plan.files[2].place.parent.mkdir(parents=True)
    plan.files[2].place.write_text("options v4l2loopback devices=4\n")
    with pytest.raises(SettingsError, match="xpcam.conf was not written by this command"):
        install(plan, print, run=run)
    assert ran == []
    assert not plan.files[0].place.exists()
    said: list[str] = []
    install(plan, said.append, dry=True, run=run)
    assert any(line.startswith(f"STOP at {plan.files[2].place}") for line in said)


@pytest.mark.parametrize("changed", [False, True])
def test_force_keeps_what_was_there(changed: bool, tmp_path: Path, run: Callable[[Command], str]) -> None:
    plan = system(tmp_path)
    place = plan.files[2].place
    place.parent.mkdir(parents=True)
    text = written.marked(plan.files[2].text) + "# mine\n" if changed else "options v4l2loopback devices=4\n"
    place.write_text(text)
    said: list[str] = []
    install(plan, said.append, force=True, run=run)
    kept = place.with_name("xpcam.conf.before-xpcam-1")
    assert kept.read_text() == text
    assert written.state(place, plan.files[2].text) is State.CURRENT
    assert any(line.startswith(f"move {place} (") and line.endswith(str(kept)) for line in said)


def test_the_same_lines_written_by_hand_are_left_alone(tmp_path: Path, run: Callable[[Command], str]) -> None:
    plan = system(tmp_path)
    place = plan.files[3].place
    place.parent.mkdir(parents=True)
    place.write_text("# as the README says\nv4l2loopback\n\n")
    install(plan, print, run=run)
    assert place.read_text().startswith("# as the README says")
    uninstall(plan, print, run=run)
    assert place.exists()


def test_an_older_file_of_ours_is_brought_up_to_date(tmp_path: Path, run: Callable[[Command], str]) -> None:
    plan = system(tmp_path)
    written.write(plan.files[0].place, "[Unit]\nDescription=of an older version\n")
    assert written.state(plan.files[0].place, plan.files[0].text) is State.OLDER
    install(plan, print, run=run)
    assert written.state(plan.files[0].place, plan.files[0].text) is State.CURRENT


def test_without_settings_nothing_is_installed(tmp_path: Path, run: Callable[[Command], str]) -> None:
    with pytest.raises(
        SettingsError, match="wanted .*/etc/xpcam/studio.toml with at least a line 'target = "
    ):
        install(system(tmp_path, config=False), print, run=run)
    assert list(tmp_path.iterdir()) == []


def test_uninstalling_leaves_the_machine_as_it_was(
    tmp_path: Path, ran: Ran, run: Callable[[Command], str]
) -> None:
    plan = system(tmp_path)
    install(plan, print, run=run)
    ran.clear()
    uninstall(plan, print, run=run)
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["studio.toml"]
    assert ran[0] == ("systemctl", "disable", "--now", "xpcam@studio.service")
    said: list[str] = []
    uninstall(plan, said.append, run=run)
    assert said == ["nothing is installed"]


def test_uninstalling_keeps_what_was_changed_by_hand(tmp_path: Path, run: Callable[[Command], str]) -> None:
    plan = system(tmp_path)
    install(plan, print, run=run)
    with plan.files[1].place.open("a") as file:
        file.write("# mine\n")
    said: list[str] = []
    uninstall(plan, said.append, run=run)
    assert plan.files[1].place.exists()
    assert f"keep {plan.files[1].place}: changed by hand" in said


def test_files_stay_while_another_camera_uses_them(tmp_path: Path, ran: Ran) -> None:
    def run(command: Command) -> str:
        ran.append(command)
        listed = "xpcam@other.service loaded active running Xpression Cam\nxpcam@studio.service loaded\n"
        return listed if "list-units" in command else ""

    plan = system(tmp_path)
    install(plan, print, run=run)
    said: list[str] = []
    uninstall(plan, said.append, run=run)
    assert said[-1] == "the files stay: xpcam@other.service use them"
    assert plan.files[0].place.exists()


def test_a_user_installs_one_file(tmp_path: Path, ran: Ran, run: Callable[[Command], str]) -> None:
    config = tmp_path / "config.toml"
    config.write_text("target = 'face.png'\n")
    plan = user_plan(Path('/opt/my "tools" 100%/xpcam'), config, tmp_path / "units")
    install(plan, print, run=run)
    (unit,) = (tmp_path / "units").iterdir()
    assert 'ExecStart="/opt/my \\"tools\\" 100%%/xpcam" start --wait-for-camera\n' in unit.read_text()
    assert all(command[:2] == ("systemctl", "--user") for command in ran)


def test_status_tells_what_systemd_and_the_files_say(tmp_path: Path) -> None:
    plan = system(tmp_path)
    written.write(plan.files[0].place, plan.files[0].text)
    answer = "ActiveState=active\nUnitFileState=enabled\nStatusText=30.0 pictures a second on the output\n"
    shown = str(status(plan, lambda command: answer)).splitlines()
    assert shown[0] == "xpcam@studio.service: active (30.0 pictures a second on the output), enabled"
    assert shown[1].endswith("xpcam@.service: as written")
    assert shown[2].endswith("60-xpcam.rules: absent")


@pytest.mark.parametrize("name", ["", "a b", "../x", "x@y", "é"])
def test_a_name_that_no_unit_can_have_is_refused(name: str) -> None:
    with pytest.raises(SettingsError, match="--name: found"):
        system_plan(PROGRAM, name)


def test_an_unreachable_program_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "xpcam"
    program.parent.mkdir(mode=0o700)
    with pytest.raises(SettingsError, match="which a service may not read: wanted an inst"):
        system_plan(program, "studio")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (("no-such-program-here",), "there is no no-such-program-here, a Linux with systemd was wanted"),
        ((sys.executable, "-c", "exit('it broke')"), r"ended with 1 \(it broke\), 0 was wanted"),
    ],
)
def test_a_command_that_fails_is_one_line(command: Command, message: str) -> None:
    with pytest.raises(ServiceError, match=message):
        run_command(command)


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, run: Callable[[Command], str]) -> None:
    plan = system(tmp_path)
    (tmp_path / "etc/systemd").touch()
    with pytest.raises(ServiceError, match=r"xpcam@.service cannot be read or written \(Not a directory\)"):
        install(plan, print, run=run)
