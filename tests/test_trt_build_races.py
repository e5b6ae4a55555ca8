"""Two processes build one engine, and one dies while it builds."""

import os
import subprocess
import sys
from pathlib import Path

import test_trt_build
from test_trt_build import Builder, make, visible

from xpcam.inference import trt_cache
from xpcam.inference.trt_build import ready

model, cache = test_trt_build.model, test_trt_build.cache  # the same fixtures

CHILD = """
import os, signal, sys, time
from pathlib import Path
import test_trt_build as tests
from gpus import MACHINE
from xpcam.inference import trt_build
trt_build.machine = lambda: MACHINE
class Slow(tests.Builder):
    def write(self, file):
        file.write_bytes(b"half")
        if sys.argv[2] == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.3)
        super().write(file)
builder = Slow()
tests.make(Path(sys.argv[1]), builder)
print(builder.built)
"""


def child(model: Path, how: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
    command = [sys.executable, "-c", CHILD, str(model), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_of_two_processes_one_builds_and_the_other_waits(model: Path, cache: Path) -> None:
    said = [process.communicate() for process in [child(model, "build"), child(model, "build")]]
    assert sorted(out.strip() for out, _ in said) == ["0", "1"]
    assert len(visible(cache)) == 1
    assert ready(model)[0] is not None


def test_what_a_killed_build_leaves_is_never_used_and_swept(model: Path, cache: Path) -> None:
    process = child(model, "die")
    process.communicate()
    assert process.returncode != 0
    assert [name for name in visible(cache) if name.startswith(trt_cache.PART)] == visible(cache) != []
    assert ready(model) == (None, "")
    assert trt_cache.everything() == []
    make(model, Builder())
    assert visible(cache) == [ready(model)[0].folder.name]  # type: ignore[union-attr]
