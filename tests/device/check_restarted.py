"""The whole daemon is killed, started again, and hangs under a reader of v4l2loopback: `--keep-output`.

Runs in the emulated machine (checks.py).
"""

import signal
import sys
import time
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from check_on_demand import change_target, daemon, no_gap, reader, see_some, wait_for
from checking import checked
from outside import Daemon

from xpcam.control.instance import find
from xpcam.virtual_camera.keeping import keep_for

PATIENCE = 900.0  # seconds a new start may take; the machine is emulated
HANGS = 3.0  # seconds


def follows(running: Daemon, times: int) -> bool:
    return len(running.wakes_ms()) >= times


def check_restarted() -> str:
    """a reader attached while the program is killed and started again, and hangs, sees no error and no gap"""
    with daemon("--keep-output") as running, reader() as reading:
        wait_for(partial(follows, running, 1), "a frame of the camera")
        undisturbed = see_some(reading)
        keep_for(find("default").keeper, PATIENCE)
        running.child.kill()
        running.child.wait()
        running.start()
        wait_for(lambda: running.ended() or running.camera_open, "the camera after the kill")
        assert not running.ended()
        running.child.send_signal(signal.SIGSTOP)
        time.sleep(HANGS)
        running.child.send_signal(signal.SIGCONT)
        change_target(running, reading)
    return no_gap(reading.seen, undisturbed)


def main() -> None:
    checked((check_restarted,), sys.argv[2])
