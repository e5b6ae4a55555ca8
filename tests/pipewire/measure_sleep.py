"""What the daemon costs while nobody looks, and how soon it is awake: run it while nothing else runs.

.venv/bin/python tests/pipewire/measure_sleep.py
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from daemon import daemon
from session import PROGRAMS, missing, session, wait_for
from test_pipewire_on_demand import read

SECONDS = 60


def main() -> None:
    if lacking := missing(PROGRAMS):
        sys.exit(lacking)
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as folder,
        session(Path(folder)) as desktop,
        daemon(desktop, Path(folder), "--idle-timeout", "0.5", "--size", "1280x720") as running,
    ):
        for times in range(1, 11):
            read(desktop, running, times)
        wait_for(lambda: not running.camera_open, "the camera to close")
        time.sleep(1)  # until its threads rest
        share = running.share_of_a_core(SECONDS)
        print(f"asleep: {share:.2%} of a core over {SECONDS} s, camera open: {running.camera_open}")
        print(f"reader to first frame of the camera, ms: {running.wakes_ms()}")


if __name__ == "__main__":
    main()
