"""The units under a real systemd, in the emulated machine or in a container; service.sh installed them.

    check_service.py device | container     the machine's unit; a container has neither driver nor device
    check_service.py user                   the user's unit, with the PipeWire of that user's session

Each check prints one line; the first that fails ends the run with its traceback and what the journal has.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

OF_USER = sys.argv[1:] == ["user"]
SYSTEMCTL = ("systemctl", "--user") if OF_USER else ("systemctl",)
UNIT = "xpcam.service" if OF_USER else "xpcam@studio.service"
SETTINGS = Path.home() / ".config/xpcam/config.toml" if OF_USER else Path("/etc/xpcam/studio.toml")
DEVICE = Path("/dev/video10")
SIZE = (160, 120)
DEVICE_THERE = sys.argv[1:] == ["device"]
PATIENCE = 400.0  # seconds; the machine is emulated


def run(*command: str, timeout: float = PATIENCE) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, check=False)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def shown(name: str) -> str:
    """A property of the unit."""
    return run(*SYSTEMCTL, "show", "--property", name, "--value", UNIT).strip()


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < PATIENCE, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.5)
    print(f"    {what}: after {time.monotonic() - began:.0f} s", flush=True)


def active_again(pid: str) -> Callable[[], bool]:
    """Whether another process than `pid` is the unit's, and ready."""
    return lambda: shown("ActiveState") == "active" and shown("MainPID") not in ("0", pid)


def shows_pictures() -> bool:
    """Whether the target is on the device; in a container, whether pictures come out at all."""
    if DEVICE_THERE or OF_USER:
        return bool(frames().std() > 10)
    return shown("ActiveState") == "active"


def frames(count: int = 2) -> "np.typing.NDArray[np.uint8]":
    """Pictures as ffmpeg or GStreamer reads them, (count, height, width, 3)."""
    device = f"ffmpeg -v error -f v4l2 -i {DEVICE} -frames:v {count} -f rawvideo -pix_fmt bgr24 -"
    command = device.split()
    if OF_USER:
        source = f"pipewiresrc target-object=xpression_cam num-buffers={count} ! video/x-raw ! videoconvert"
        command = f"gst-launch-1.0 -q {source} ! video/x-raw,format=BGR ! fdsink".split()
    raw = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    assert raw.returncode == 0, raw.stderr.decode()
    return np.frombuffer(raw.stdout, np.uint8).reshape(count, SIZE[1], SIZE[0], 3)


def journal() -> list[dict[str, str]]:
    lines = run("journalctl", "--unit", UNIT, "--output", "json", "--no-pager").splitlines()
    return [json.loads(line) for line in lines]


def check_boot() -> None:
    """The unit becomes active by itself"""
    wait_for("the unit is active", active_again(""))
    assert shown("StatusText")


def check_device() -> None:
    """The boot has loaded the driver, and the rule names its device"""
    assert Path("/sys/module/v4l2loopback").is_dir()
    assert Path("/dev/xpression-cam").resolve() == DEVICE
    status = DEVICE.stat()
    assert status.st_mode & 0o777 == 0o660, oct(status.st_mode)
    assert run("stat", "--format=%G", str(DEVICE)).strip() == "video"


def check_frames() -> None:
    """Pictures of the target are on the device"""
    seen = frames()
    assert seen.std() > 10, seen.std()
    print(f"    spread of the levels: {seen.std():.0f}", flush=True)


def check_status() -> None:
    """The status tells how many pictures come out"""
    wait_for("rates are told", lambda: "pictures a second on the output" in shown("StatusText"))
    print(f"    {shown('StatusText')}", flush=True)


def check_confined() -> None:
    """The process has no rights, no network, and the devices it needs"""
    pid = shown("MainPID")
    facts = dict(re.findall(r"^(\w+):\s+(.*)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    assert facts["Uid"].split()[0] != "0"
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert Path(f"/proc/{pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    limits = Path(f"/proc/{pid}/limits").read_text()
    assert re.search(r"Max core file size\s+0\s+0\s", limits), limits


def check_journal() -> None:
    """The log is in the journal, with its fields"""
    records = [entry for entry in journal() if entry.get("LOGGER", "").startswith("xpcam.")]
    assert any(entry["MESSAGE"].startswith("output: ") for entry in records), records
    assert all(entry["CODE_FILE"].endswith(".py") and entry["PRIORITY"] in "34567" for entry in records)


def check_control() -> None:
    """Root reaches its control socket, and nobody else does"""
    told = json.loads(run("/opt/xpcam/bin/xpcam", "status", "--name", "studio", "--json"))
    print(f"    {', '.join(told)}", flush=True)
    assert run("stat", "--format=%a", "--dereference", "/run/xpcam/studio").strip() == "700"


def check_killed() -> None:
    """Killed without warning, it comes back"""
    pid = shown("MainPID")
    os.kill(int(pid), signal.SIGKILL)
    wait_for("it is back", active_again(pid))
    assert shown("NRestarts") == "1"
    assert shows_pictures()


def check_hung() -> None:
    """A loop that hangs is ended by the watchdog, and comes back"""
    pid = shown("MainPID")
    os.kill(int(pid), signal.SIGSTOP)
    wait_for("it is back", active_again(pid))
    assert OF_USER or any("Watchdog timeout" in entry["MESSAGE"] for entry in journal())
    assert shown("NRestarts") == "2"
    assert shows_pictures()


def check_kept() -> None:
    """With keep_output a reader sees the target move while the program is dead or started again"""
    SETTINGS.write_text(SETTINGS.read_text() + "keep_output = true\n")
    run(*SYSTEMCTL, "restart", UNIT)
    keeper = run("pgrep", "-x", "xpcam-keeper")
    time.sleep(8)  # until it has the pictures that it shows alone
    source = "pipewiresrc target-object=xpression_cam ! video/x-raw ! fdsink"
    with subprocess.Popen(f"gst-launch-1.0 -q {source}".split(), stdout=subprocess.PIPE) as reader:
        assert reader.stdout is not None
        pid, nbytes = shown("MainPID"), SIZE[0] * SIZE[1] * 3 // 2
        reader.stdout.read(nbytes)
        os.kill(int(pid), signal.SIGKILL)
        seen = {reader.stdout.read(nbytes) for _ in range(15)}
        assert shown("ActiveState") != "active"
        wait_for("it is back", active_again(pid))
        seen_then = {reader.stdout.read(nbytes) for _ in range(15)}
        print(f"    of 15 pictures {len(seen)} differed while it was dead, {len(seen_then)} then", flush=True)
        assert min(len(seen), len(seen_then)) > 8
        assert run("pgrep", "-x", "xpcam-keeper") == keeper
        run(*SYSTEMCTL, "restart", UNIT)
        seen = {reader.stdout.read(nbytes) for _ in range(30)}
        print(f"    of 30 pictures {len(seen)} differed through systemctl restart", flush=True)
        assert len(seen) > 16
        assert run("pgrep", "-x", "xpcam-keeper") == keeper
        run(*SYSTEMCTL, "stop", UNIT)
        wait_for("the keeper has ended", no_keeper)
        reader.kill()


def no_keeper() -> bool:
    return subprocess.run(("pgrep", "-x", "xpcam-keeper"), check=False, capture_output=True).returncode == 1


def check_stopped() -> None:
    """Stopped, it ends by itself, and the device is free"""
    run(*SYSTEMCTL, "stop", UNIT)
    assert (shown("ActiveState"), shown("Result"), shown("ExecMainStatus")) == ("inactive", "success", "0")


def check_bad_settings() -> None:
    """Bad settings are told, and not tried again"""
    good = SETTINGS.read_text()
    SETTINGS.write_text(good.replace("fps = 5", "fps = 5000"))
    subprocess.run(("systemctl", "restart", UNIT), check=False)
    time.sleep(6)  # three times RestartSec
    assert (shown("ActiveState"), shown("ExecMainStatus"), shown("NRestarts")) == ("failed", "2", "0")
    assert any("fps" in entry["MESSAGE"] and entry["PRIORITY"] == "3" for entry in journal())
    SETTINGS.write_text(good)


def check_user() -> None:
    """It is the user's, has no rights, and its file system is read-only outside of the home folder"""
    pid = shown("MainPID")
    status = Path(f"/proc/{pid}/status").read_text()
    facts = dict(re.findall(r"^(\w+):\s+(.*)$", status, re.MULTILINE))
    assert facts["Uid"].split()[0] == str(os.getuid()) != "0"
    assert (int(facts["CapEff"], 16), facts["NoNewPrivs"], facts["Seccomp"]) == (0, "1", "2")
    mounts = Path(f"/proc/{pid}/mountinfo").read_text().splitlines()
    assert any(re.search(r" / / ro[, ]", line) for line in mounts), mounts


def check_user_uninstalled() -> None:
    """Uninstalling removes the unit's file, and leaves the settings"""
    print(run("/opt/xpcam/bin/xpcam", "service", "uninstall"), end="")
    assert not (Path.home() / ".config/systemd/user/xpcam.service").exists()
    assert SETTINGS.exists()


def check_uninstalled() -> None:
    """Uninstalling removes what was written, and no more"""
    print(run("/opt/xpcam/bin/xpcam", "service", "uninstall", "--system", "--name", "studio"), end="")
    assert not Path("/etc/systemd/system/xpcam@.service").exists()
    assert not Path("/etc/modprobe.d/xpcam.conf").exists()
    assert SETTINGS.exists()


def main() -> None:
    assert Path("/proc/1/comm").read_text().strip() == "systemd"
    of_user = (check_boot, check_frames, check_status, check_user, check_killed, check_hung, check_kept)
    of_machine = (
        check_boot,
        *((check_device, check_frames) if DEVICE_THERE else (check_status,)),
        check_confined,
        check_journal,
        check_control,
        check_killed,
        check_hung,
        check_stopped,
        check_bad_settings,
        check_uninstalled,
    )
    for check in (*of_user, check_user_uninstalled) if OF_USER else of_machine:
        name = check.__name__.removeprefix("check_")
        print(f"  {name}: {check.__doc__}", flush=True)
        try:
            check()
            print(f"  {name}: passed", flush=True)
        except AssertionError:
            said = (
                ("systemctl", "--user", "status", UNIT) if OF_USER else ("journalctl", "--boot", "--no-pager")
            )
            print(subprocess.run(said, capture_output=True, text=True).stdout)
            raise
    sys.exit(0)


if __name__ == "__main__":
    main()
