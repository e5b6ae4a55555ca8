"""Both engines on the same pairs of driver and target: part of `make evaluate`.

Expression and pose: correlation over time from the driver to the output, both read by MediaPipe. Identity: how far
the tracker's own identity coefficients of the output lie from those of the target, as a share of how far those of
different people lie from each other. Reenactment: the driver's first frame is the target; structural similarity
of the heads' crops to the driver's own frames, beside that of the first frame merely copied. Speed: the median time
of tracking, retargeting and rendering. A sheet shows driver and outputs side by side.
"""

from dataclasses import dataclass
from functools import cache
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.evaluate import MEASURES
from engines.mouth.likeness import grey, similarity
from engines.turning import ANGLES, turns_carried
from xpcam import offline
from xpcam.builders import open_tracker
from xpcam.camera.video_file import read_video
from xpcam.errors import TargetError
from xpcam.face.head_crop import face_crop
from xpcam.frame import FaceParams
from xpcam.progress import unseen
from xpcam.resources import SHIPPED
from xpcam.settings import Settings
from xpcam.target.still import load_picture

ENGINES = {
    "mesh": {"engine": "mesh"},
    "x2face unet": {"engine": "x2face", "backbone": "unet"},
    "x2face unet3plus": {"engine": "x2face", "backbone": "unet3plus"},
}
WORK = ("track", "retarget", "render")
CROP = 256  # pixels of a head's crop that is compared
MOMENTS = 8  # of each driver on the sheet
TALL = 240  # pixels of a picture on the sheet
PEOPLE = ("P001", "P003", "P005", "P007")  # generated people between whom identities are told apart


@dataclass(frozen=True, slots=True)
class Rendered:
    """What an engine made of a driver: a video, and milliseconds of work for a frame."""

    video: Path
    ms: float


def present() -> list[str]:
    """The engines whose files come with the program."""
    return [
        name
        for name, chosen in ENGINES.items()
        if chosen["engine"] == "mesh" or f"x2face_driving_{chosen['backbone']}.onnx" in SHIPPED
    ]


def render(name: str, target: Path, driver: Path, folder: Path) -> Rendered:
    """Have one of `ENGINES` make a driver's video."""
    settings = Settings.model_validate({"target": target, **ENGINES[name]})
    video = folder / f"{driver.stem}-{target.stem}-{name.replace(' ', '-')}.mp4"
    report = offline.render_video(settings, driver, video, unseen)
    return Rendered(video, sum(report.stages_ms[stage] for stage in WORK))


@cache
def tracked(video: Path) -> list[FaceParams | None]:
    """The face in each frame, by the product's tracker."""
    return [face for _, face in offline.track_video(Settings(device="cpu"), video, unseen)]


def identities(faces: list[FaceParams | None]) -> Floats:
    """(80,) the mean identity of a face's readings."""
    return np.mean([face.appearance.identity for face in faces if face and face.appearance], axis=0)


def apart() -> float:
    """How far the identities of different people lie from each other, in the mean."""
    import openpeople

    people = []
    with open_tracker(Settings(device="cpu")) as tracker:
        for name in PEOPLE:
            picture = load_picture(Path(openpeople.curated.get(name).asset_path("studio_portrait")))
            people.append(identities(list(tracker.locate(picture)[:1])))
    return float(np.mean([np.linalg.norm(a - b) for a, b in combinations(people, 2)]))


def own_identity(target: Path) -> Floats:
    """(80,) that of a target's picture."""
    with open_tracker(Settings(device="cpu")) as tracker:
        return identities(list(tracker.locate(load_picture(target))[:1]))


@cache
def heads(video: Path) -> list[Pixels | None]:
    """The head's crop in each frame."""
    with read_video(video) as frames:
        return [
            None if face is None else face_crop(frame.pixels, face.pose, CROP)[0]
            for frame, face in zip(frames, tracked(video), strict=True)
        ]


def reenacted(name: str, driver: Path, folder: Path) -> dict[str, float]:
    """Similarity of what an engine makes of the driver's first frame to the driver, and of that frame itself."""
    source = folder / f"{driver.stem}-first.png"
    with read_video(driver) as frames:
        first = next(iter(frames)).pixels
    cv2.imwrite(str(source), cv2.resize(first, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC))
    truth, made = heads(driver), heads(render(name, source, driver, folder).video)
    pairs = [(a, b) for a, b in zip(truth[1:], made[1:], strict=True) if a is not None and b is not None]
    if truth[0] is None or not pairs:
        raise TargetError(f"{driver}: its first frame shows no face that could be a target")
    still = grey(truth[0])
    return {
        "ssim": float(np.mean([similarity(grey(a), grey(b)).mean() for a, b in pairs])),
        "ssim of a copy": float(np.mean([similarity(grey(a), still).mean() for a, _ in pairs])),
    }


def row(carried: dict[str, float], person: Floats, output: Floats) -> dict[str, float]:
    """The two numbers of what is carried: mean correlation of the four measures, and of the angles."""
    turns = turns_carried(person, output)
    angles = [turns[name] for name in ANGLES if name in turns]
    return {
        **{name: carried[name] for name in MEASURES},
        "expression": float(np.mean([carried[name] for name in MEASURES])),
        "pose": float(np.mean(angles)) if angles else float("nan"),
        "turn": float(np.mean([turns[f"{name}_spread"] for name in ANGLES if name in turns] or [np.nan])),
    }


def sheet(driver: Path, videos: list[Path]) -> Pixels:
    """Some moments of a driver, a row each: the driver, then what each engine made."""
    columns = []
    for video in [driver, *videos]:
        with read_video(video) as frames:
            wanted = set(np.linspace(0, (frames.frame_count or 1) - 1, MOMENTS + 2)[1:-1].round().astype(int))
            columns.append([middle(frame.pixels) for frame in frames if frame.sequence in wanted])
    return np.vstack([np.hstack(moment) for moment in zip(*columns, strict=False)])


def middle(picture: Pixels) -> Pixels:
    """The square in the middle of a picture, small."""
    side = min(picture.shape[:2])
    left, top = (picture.shape[1] - side) // 2, (picture.shape[0] - side) // 2
    square = picture[top : top + side, left : left + side]
    return np.asarray(cv2.resize(square, (TALL, TALL), interpolation=cv2.INTER_AREA), np.uint8)


def mean(rows: list[dict[str, float]], name: str) -> float:
    """Over the drivers that say it: not all turn their heads."""
    known = [row[name] for row in rows if np.isfinite(row[name])]
    return float(np.mean(known)) if known else float("nan")


def lines(rows: dict[str, list[dict[str, float]]]) -> list[str]:
    """A table: for each engine the mean over all drivers."""
    names = list(next(iter(rows.values()))[0])
    said = ["both engines on the same drivers and target (mean of all drivers):"]
    said.append("  " + " " * 18 + "".join(f"{name:>16}" for name in names))
    for engine, found in rows.items():
        said.append(f"  {engine:<18}" + "".join(f"{mean(found, name):16.3f}" for name in names))
    return said
