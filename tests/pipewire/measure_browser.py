"""How fast Chromium shows the target that `xpcam start` makes: run it while nothing else runs.

    .venv/bin/python tests/pipewire/measure_browser.py [FLAG...]      further flags of xpcam start

The built-in driver moves a generated portrait into a PipeWire of its own; one line says what Chromium saw.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import openpeople

sys.path.insert(0, str(Path(__file__).parent.parent / "device"))

from check_browser import seen_by_chromium
from session import BROWSER, PROGRAMS, missing, session, wait_for

from xpcam.virtual_camera.pipewire import NODE_NAME

SECONDS = 10


def main() -> None:
    if lacking := missing(PROGRAMS | BROWSER):
        sys.exit(lacking)
    target = openpeople.curated.get("P009").asset_path("studio_portrait")
    xpcam = Path(sys.executable).with_name("xpcam")
    command = [str(xpcam), "start", "--target", str(target), "--camera", "demo", "--output", "pipewire"]
    command += sys.argv[1:]
    with (
        tempfile.TemporaryDirectory(prefix="pw", ignore_cleanup_errors=True) as folder,
        session(Path(folder)) as desktop,
        subprocess.Popen(command, env=desktop.environment, stdout=subprocess.PIPE, text=True) as daemon,
    ):
        wait_for(lambda: desktop.node(NODE_NAME), "the node")
        desktop.start_portal()
        flags = ["--enable-features=WebRtcPipeWireCamera"]
        seen = seen_by_chromium(60 + SECONDS, counting=SECONDS, flags=flags, environment=desktop.environment)
        daemon.terminate()
        print(daemon.communicate(timeout=20)[0])
    print({name: value for name, value in seen.items() if name != "rgb"})


if __name__ == "__main__":
    main()
