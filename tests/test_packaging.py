"""The built wheel, installed into an empty environment and used from another folder."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import av
import cv2
import pytest

from xpcam.resources import SHIPPED, shipped

ROOT = Path(__file__).parent.parent
MINUTE = 60.0

pytestmark = pytest.mark.packaging


def run(*command: str | Path, folder: Path) -> str:
    """Standard output of a command that must succeed, run without this checkout on its path."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env=clean,
        capture_output=True,
        text=True,
        timeout=10 * MINUTE,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = (sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT)
    run(*build, folder=folder)  # the wheel is built from the sdist, so both are proven whole
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `xpcam` command of an environment that holds the wheel and what it depends on, nothing else."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, with_pip=True)
    run(
        environment / "bin" / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        wheel,
        folder=environment,
    )
    return environment / "bin" / "xpcam"


def test_the_wheel_carries_what_the_product_needs_and_no_more(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"xpcam/shipped/{name}" for name in SHIPPED} <= set(names)
    assert not [name for name in names if name.startswith(("engines/", "tests/", "docs/"))]
    assert wheel.stat().st_size < 24e6


def test_render_from_another_folder(installed: Path, tmp_path: Path) -> None:
    with av.open(str(shipped("demo.mp4"))) as driver:
        face = next(driver.decode(video=0)).to_ndarray(format="bgr24")
    cv2.imwrite(str(tmp_path / "face.png"), face)
    run(
        *(installed, "render", "--target", "face.png", "--driver", "demo", "--output", "out.mp4"),
        *("--frames", "20", "--size", "320x240"),
        folder=tmp_path,
    )
    with av.open(str(tmp_path / "out.mp4")) as made:
        frames = [frame.to_ndarray(format="bgr24") for frame in made.decode(video=0)]
    assert len(frames) == 20
    assert frames[0].shape == (240, 320, 3)
    assert frames[0].std() > 10


def test_bench_measures_every_stage(installed: Path, tmp_path: Path) -> None:
    shown = json.loads(run(installed, "bench", "--json", "--seconds", "1", folder=tmp_path))
    assert set(shown) == {
        *("fps", "mouth_open_fps", "latency_ms", "stages_ms", "engines", "rss_mb", "baseline_ms", "ratio"),
        "x2face",
    }
    assert shown["x2face"] is None  # the other engine's
    assert shown["fps"] > 0
    assert shown["mouth_open_fps"] > 0
    assert 0 < shown["latency_ms"]["p50"] <= shown["latency_ms"]["p95"]
    assert all(
        shown["stages_ms"][stage] > 0 for stage in ("decode", "track", "retarget", "render", "convert")
    )
    assert shown["ratio"] == pytest.approx(1e3 / shown["fps"] / shown["baseline_ms"])
