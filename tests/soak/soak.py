"""Lets the daemon run for long, steers it, harms it, and says what it cost: `make soak SECONDS=3600`.

The first half changes targets and settings. The second harms it every 20 seconds. What is looked at is the
real program in a process of its own, over its control socket and /proc; its camera is on the network, so that
a script can take it away. Ends with 1 where memory or descriptors grew, the rate fell, or it stayed harmed.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from statistics import median
from typing import Any, Final

import openpeople
from network_camera import Mode, NetworkCamera
from process import Cost, cost

from xpcam.control.client import Client
from xpcam.errors import ControlError
from xpcam.resources import shipped

PEOPLE: Final = ("P001", "P005", "P009")
SAMPLED: Final = 5.0  # seconds between two looks
HARMED_EVERY: Final = 20.0
HARMED_FOR: Final = 4.0
BACK_WITHIN: Final = 3.0  # seconds
LONGEST: Final = 30.0  # seconds after which it counts as lost
GROWTH: Final = 1.05
SLOWER: Final = 0.95
STARTS: Final = 60.0

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sample:
    """What the seconds before `at` (of the run) were like, those in which it was harmed left out."""

    at: float
    cost: Cost
    generated: float
    published: float
    ms_per_picture: float


@dataclass(slots=True)
class Harm:
    """What one kind of fault did: whether the target idled each time, and how long each recovery took."""

    idled: list[bool] = field(default_factory=list)
    said: set[str] = field(default_factory=set)
    back: list[float] = field(default_factory=list)


class Soak:
    """A running daemon and what is known of it; `patience`: seconds it may take to idle."""

    def __init__(
        self, process: subprocess.Popen[bytes], camera: NetworkCamera, name: str, patience: float = 0.0
    ) -> None:
        self._patience = patience
        self.process = process
        self.camera = camera
        self.began = time.monotonic()
        self.samples: list[Sample] = []
        self.harms: dict[str, Harm] = {}
        self.changes = 0
        self._client = Client(name)
        self._fps = self._client.ask("GET", "/settings")["fps"]
        self._before = self._look()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.began

    def status(self) -> Answer:
        return dict(self._client.ask("GET", "/status"))

    def live_until(self, end: float, act: Callable[[], None], every: float) -> None:
        """Look at it now and then, and do something to it every so many seconds."""
        acted = sampled = time.monotonic()
        while self.seconds < end:
            time.sleep(0.2)
            if time.monotonic() - sampled >= SAMPLED:
                sampled = time.monotonic()
                self.sample()
            if time.monotonic() - acted >= every:
                acted = time.monotonic()
                act()
                if self._before[0] > acted:  # it was harmed, and what to measure begins anew
                    sampled = time.monotonic()

    def sample(self) -> None:
        now = self._look()
        (at, before, frames), self._before = self._before, now
        seconds, made = now[0] - at, now[2]["generated"] - frames["generated"]
        used = now[1].seconds - before.seconds
        published = (now[2]["published"] - frames["published"]) / seconds
        one = Sample(self.seconds, now[1], made / seconds, published, 1e3 * used / max(1, made))
        self.samples.append(one)
        print(
            f"{one.at:7.0f} s  {one.cost.memory_mb:6.1f} MB  {one.cost.descriptors:3} descriptors  "
            f"{one.cost.threads:3} threads  {one.generated:5.1f} generated/s  "
            f"{one.published:5.1f} published/s  "
            f"{one.ms_per_picture:5.1f} ms of a core a picture",
            flush=True,
        )

    def change(self) -> None:
        """The next target, or a setting, or one that is refused."""
        self.changes += 1
        if self.changes % 7 == 0:
            try:
                self._client.ask("PUT", "/target", {"target": "nobody"})
            except ControlError:
                return
            raise AssertionError("a target that does not exist was taken")
        if self.changes % 5 == 0:
            self._change({"mirror": self.changes % 2 == 0, "mouth": 1.2})
        elif self.changes % 6 == 0:  # there and back, so that pictures cost the same before and after
            size = self._client.ask("GET", "/settings")["size"]
            for wanted in ({"size": "480x480"}, {"size": size}, {"camera": f"{self.camera.url}?again"}):
                self._change(wanted)
            self._change({"camera": self.camera.url, "fps": self._fps})
        else:
            self._client.ask("POST", "/target/next")

    def _change(self, wanted: Answer) -> None:
        self._client.ask("PATCH", "/settings", wanted)

    def harm(self, kind: str) -> None:
        """Do it, see what it shows, mend it, and see how long it takes to follow again."""
        harm = self.harms.setdefault(kind, Harm())
        if kind == "stopped":
            self.process.send_signal(signal.SIGSTOP)
            time.sleep(HARMED_FOR)
            self.process.send_signal(signal.SIGCONT)
        else:
            mode: Mode = kind  # type: ignore[assignment]
            self.camera.set(mode)
            time.sleep(HARMED_FOR)
            harm.idled.append(self._idles())
            harm.said |= set(self.status().get("faults", {}))
            self.camera.set("face")
        harm.back.append(self._until_it_follows())
        self._before = self._look()

    def _idles(self) -> bool:
        """Whether the target idles, and it is said why; soon, where there is patience for that."""
        began = time.monotonic()
        while True:
            status = self.status()
            if status["state"] == "idling" and status["faults"]:
                return True
            if time.monotonic() - began >= self._patience:
                return False
            time.sleep(0.1)

    def _until_it_follows(self) -> float:
        mended = time.monotonic()
        made = self.status()["frames"]["generated"]
        while time.monotonic() - mended < LONGEST:
            status = self.status()
            well = status["state"] == "following" and not status.get("faults")
            if well and status["frames"]["generated"] > made:
                break
            time.sleep(0.05)
        return time.monotonic() - mended

    def _look(self) -> tuple[float, Cost, Answer]:
        return time.monotonic(), cost(self.process.pid), self.status()["frames"]


def started(folder: Path, camera: str, name: str, more: list[str]) -> subprocess.Popen[bytes]:
    """The program, with a gallery of its own; its log in `folder`."""
    xpcam = [sys.executable, "-m", "xpcam"]
    for person in PEOPLE:
        picture = openpeople.curated.get(person).asset_path("studio_portrait")
        subprocess.run([*xpcam, "target", "add", str(picture), "--as", person.lower()], check=True)
    run = [*xpcam, "start", "--name", name, "--target", PEOPLE[0].lower(), "--camera", camera, *more]
    log = ["--log-file", str(folder / "log")]
    process = subprocess.Popen([*run, "--output", "none", *log])
    began = time.monotonic()
    while True:
        if process.poll() is not None or time.monotonic() - began > STARTS:
            raise SystemExit(f"soak: xpcam did not start: {(folder / 'log').read_text(encoding='utf-8')}")
        try:
            if Client(name).ask("GET", "/status")["state"] == "following":
                return process
        except ControlError:
            pass
        time.sleep(0.2)


def quarter(samples: list[Sample], last: bool) -> list[Sample]:
    """Those of the last quarter, or of the quarter after the warm-up (a fifth, a minute at most)."""
    end = samples[-1].at
    first = min(60.0, end / 5)
    begins = 0.75 * end if last else first
    return [one for one in samples if begins <= one.at <= begins + end / 4]


def verdict(soak: Soak, log: str) -> list[str]:
    """Prints what changed from after the warm-up to the end; gives back what is wrong."""
    early, late = quarter(soak.samples, False), quarter(soak.samples, True)
    wrong = []
    print(f"\n{'':34}after warm-up   at the end")
    for what, least, most, of in (
        ("memory, MB", 0.0, GROWTH, lambda one: one.cost.memory_mb),
        ("descriptors", 0.0, 1.0, lambda one: one.cost.descriptors),
        ("threads", 0.0, 1.0, lambda one: one.cost.threads),
        ("pictures generated a second", SLOWER, 9.0, lambda one: one.generated),
        ("pictures published a second", SLOWER, 9.0, lambda one: one.published),
        ("ms of a core a picture", 0.0, 9.0, lambda one: one.ms_per_picture),
    ):
        before, after = median(map(of, early)), median(map(of, late))
        good = least * before <= after <= most * before
        print(f"{what:34}{before:13.1f}{after:13.1f}{'' if good else '   FAILED'}")
        wrong += [] if good else [what]
    print(f"\n{soak.changes} changes\n{'fault':12}{'times':>6}  {'idled':6}{'said of':24}longest recovery, s")
    for kind, harm in soak.harms.items():
        good = max(harm.back) <= BACK_WITHIN and all(harm.idled)
        idled = "yes" if all(harm.idled) else "NO"
        said = ", ".join(sorted(harm.said)) or "-"
        print(
            f"{kind:12}{len(harm.back):6}  {idled if harm.idled else '-':6}{said:24}{max(harm.back):.2f}"
            f"{'' if good else '   FAILED'}"
        )
        wrong += [] if good else [kind]
    if "Traceback" in log:
        wrong.append("a traceback in the log")
    return wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long; an hour is 3600")
    parser.add_argument("--fps", type=int, default=30, help="for a busy machine: less")
    parser.add_argument("--size", default="1280x720")
    wanted = parser.parse_args()
    seconds: float = wanted.seconds
    faults = cycle(("gone", "stopped", "nobody", "busy", "silent", "dark"))
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        for variable in ("XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME"):
            os.environ[variable] = place
        camera = NetworkCamera(shipped("demo.mp4"), wanted.fps)
        process = started(Path(place), camera.url, "soak", ["--fps", str(wanted.fps), "--size", wanted.size])
        try:
            soak = Soak(process, camera, "soak")
            soak.live_until(seconds / 2, soak.change, SAMPLED)
            soak.live_until(seconds, lambda: soak.harm(next(faults)), HARMED_EVERY)
        finally:
            process.terminate()
            code = process.wait(30)
            camera.close()
        log = (Path(place) / "log").read_text(encoding="utf-8")
    print("\n" + log[-6000:])
    wrong = verdict(soak, log) + ([] if code == 0 else [f"exit code {code}"])
    if wrong:
        raise SystemExit(f"soak: failed after {seconds:.0f} s: {', '.join(wrong)}")
    print(f"soak: passed, {seconds:.0f} s")


if __name__ == "__main__":
    main()
