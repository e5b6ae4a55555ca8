"""Fifty changes of target in a row while a reader watches: what each took, and what the reader saw.

The real program runs in a process of its own; its output is a witness that notes when each picture came and
how bright it is. The changes come from another process, over the socket, one after the other:

    nice -n -10 python tests/soak/target_changes.py --changes 50

Figures are of this machine at this moment: the same time without changes is measured first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Final
from unittest.mock import patch

import numpy as np
import openpeople

from xpcam import daemon
from xpcam.control.client import Client
from xpcam.errors import ControlError
from xpcam.frame import Pixels
from xpcam.settings import load_settings
from xpcam.virtual_camera import Buffer, NoCamera

PEOPLE: Final = ("P001", "P004", "P005", "P009")
STARTS: Final = 60.0
SETTLES: Final = 5.0  # seconds in which nothing is changed, before and after


class Witness(NoCamera):
    """An output that somebody watches: when each picture was there, and its mean brightness."""

    def __init__(self, *, size: tuple[int, int], fps: float, **_options: object) -> None:
        super().__init__(size=size, fps=fps)
        self.seen: list[tuple[float, float]] = []
        self._bright = 0.0

    def convert(self, pixels: Pixels) -> Buffer:
        self._bright = float(pixels[::16, ::16].mean())
        return super().convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        self.seen.append((time.monotonic(), self._bright))


def witnessed(note: Path, flags: dict[str, object]) -> None:
    """(child) Run until stopped, then write down what was seen."""
    made: list[Witness] = []

    def opened(_spec: str, *, size: tuple[int, int], fps: float, **_options: object) -> Witness:
        made.append(Witness(size=size, fps=fps))
        return made[-1]

    patch.object(daemon, "open_output", opened).start()
    daemon.run_live(load_settings(flags))
    note.write_text(json.dumps([one for witness in made for one in witness.seen]), encoding="utf-8")


def longest(seen: list[tuple[float, float]], begin: float, end: float) -> list[float]:
    """Milliseconds between two pictures, longest first, of that time."""
    times = [at for at, _ in seen if begin <= at <= end]
    return sorted((1e3 * (after - before) for before, after in pairwise(times)), reverse=True)


def follows(name: str) -> Client:
    began = time.monotonic()
    while time.monotonic() - began < STARTS:
        try:
            client = Client(name)
            if client.ask("GET", "/status")["state"] == "following":
                return client
        except ControlError:
            pass
        time.sleep(0.1)
    raise SystemExit("it did not start")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=50)
    parser.add_argument("--size", default="1280x720")
    parser.add_argument("--fps", type=int, default=30)
    parser.add_argument("--pause", type=float, default=0.0, help="seconds between two changes")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    flags: dict[str, object] = {
        "target": PEOPLE[0].lower(),
        "camera": "demo",
        "output": "none",
        "device": "cpu",
    }
    flags |= {"size": wanted.size, "fps": wanted.fps, "name": "changes"}
    if wanted.child is not None:
        witnessed(wanted.child, flags)
        return
    with tempfile.TemporaryDirectory(prefix="chg-") as place:
        for variable in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[variable] = place
        for person in PEOPLE:
            picture = openpeople.curated.get(person).asset_path("studio_portrait")
            add = [sys.executable, "-m", "xpcam", "target", "add", str(picture), "--as", person.lower()]
            subprocess.run(add, check=True, stdout=subprocess.DEVNULL)
        note = Path(place) / "seen.json"
        child = subprocess.Popen([sys.executable, __file__, *sys.argv[1:], "--child", str(note)])
        try:
            client = follows("changes")
            time.sleep(SETTLES)
            calm = (time.monotonic() - SETTLES, time.monotonic())
            took = []
            for _ in range(wanted.changes):
                began = time.monotonic()
                client.ask("POST", "/target/next")
                took.append(1e3 * (time.monotonic() - began))
                time.sleep(wanted.pause)
            changing = (calm[1], time.monotonic())
            client.ask("POST", "/stop")
        finally:
            child.wait(30)
        seen = [(at, bright) for at, bright in json.loads(note.read_text(encoding="utf-8"))]
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, nice {os.nice(0)}")
    for what, span in (("before", calm), ("changing", changing)):
        gaps = longest(seen, *span)
        top = ", ".join(f"{gap:.0f}" for gap in gaps[:6])
        print(f"{what:9} {len(gaps) / (span[1] - span[0]):5.1f} pictures/s, longest between two: {top} ms")
    print(
        f"a change: median {np.median(took):.0f}, p95 {np.percentile(took, 95):.0f}, max {max(took):.0f} ms"
    )
    print(f"darkest picture: mean {min(bright for _, bright in seen):.0f} of 255")


if __name__ == "__main__":
    main()
