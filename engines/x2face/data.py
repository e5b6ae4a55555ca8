"""Make what X2Face learns from, once: packs of identities that play the same acts.

    python -m engines.x2face.data --data DIR --output runs/x2face/packs [--split test] [--heads 80] [--clips CLIPS]

DIR holds `faces/` and `faces_labels.npz` (see `engines.face_params.data`). --clips adds any folder of videos, or of
folders of numbered pictures as `xpcam video2images` writes them: the frames of each become a pack of one identity.

A pack is `IDENTITIES` portraits that hold their heads alike, or as many rendered heads, in `ACTS` acts. Act 0 is the source:
each as it holds its own head, lips parted. All others are the same for everybody in the pack: strong ones, each in a pose
of its own, then `CALM` of somebody who speaks, blinks and hardly moves. Each part is a folder of arrays that training
maps into memory:
    images.npy (P, I, K, 288, 288, 3) uint8: crops of xpcam.face.head_crop, `ROOM` times as wide
    landmarks.npy (P, I, K, 478, 2) float16: -1 to 1 over the crop of the networks
    canonical.npy (P, I, 478, 2) float16: those of the embedded face
    seen.npy (P, I, K, 478) bool
"""

import argparse
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from engines.face_params.arrays import Floats
from engines.face_params.data import TEST_PEOPLE, Portraits
from engines.x2face.clips import frames_of
from engines.x2face.people import Act, Head, Identity, Portrait, View, calm_act, random_act
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import parted

Random = np.random.Generator
IDENTITIES, ACTS, CALM = 4, 13, 6  # of the acts, calm ones in one pose
STORED = 288  # side of a stored crop, pixels
ROOM = 1.125  # it is so much wider than what the networks see
SHARPEST, SHUT = 40.0, 0.45  # least outer-eye distance in pixels, most weight of a blink of a portrait
PART = 50  # packs in a folder
NAMES = ("images", "landmarks", "canonical", "seen")
READ = "read.npy"  # what `reading` adds
SCORES = "scores.npy"  # (N, 51) ARKit weights of the portraits, of which acts are made
SOURCE = Act(parted(), np.zeros((fl.LANDMARKS, 3), np.float32), None, np.zeros(2, np.float32))


def is_test(file: str, origin: str) -> bool:
    """The fixed split: three held-out people and, by hash of the name, one in five of the other pictures."""
    if file.startswith("opencells"):
        return origin.startswith(TEST_PEOPLE)
    return zlib.crc32(file.encode()) % 5 == 0


def load(folder: Path, split: str) -> Portraits:
    """Portraits of a split that are sharp and whose eyes are open."""
    labels = np.load(folder / "faces_labels.npz", allow_pickle=False)
    landmarks = labels["landmarks"].astype(np.float32) * np.float32(labels["landmarks_scale"])
    scores = labels["blendshapes"][:, 1:].astype(np.float32)
    blinks = [fl.face_mesh().blendshape_names.index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    rows = [
        row
        for row, (file, origin) in enumerate(zip(labels["files"], labels["origin"], strict=True))
        if is_test(str(file), str(origin)) == (split == "test")
        and fl.outer_eye_distance(landmarks[row]) > SHARPEST
        and scores[row, blinks].max() < SHUT
    ]
    pictures = [np.asarray(cv2.imread(str(folder / "faces" / str(labels["files"][row])))) for row in rows]
    people = np.array([str(labels["origin"][row]) for row in rows])
    return Portraits(pictures, landmarks[rows], scores[rows], np.ones(len(rows), np.float32), people)


def portrait_packs(rng: Random, data: Portraits) -> Iterator[tuple[list[Identity], list[Act]]]:
    """Every portrait once, together with others whose heads are turned about as far."""
    poses = np.stack([fl.fit_pose(points).rotation for points in data.landmarks])
    order = np.argsort(poses[:, 1] + rng.normal(0, 0.06, len(poses)))
    packs = order[: len(order) // IDENTITIES * IDENTITIES].reshape(-1, IDENTITIES)
    for rows in rng.permutation(packs):
        members: list[Identity] = [
            Portrait(data.pictures[row], data.landmarks[row], data.scores[row]) for row in rows
        ]
        middle = np.median(poses[rows], axis=0)
        turns = middle + rng.normal(0, (0.13, 0.24, 0.06), (ACTS - 1 - CALM, 3))
        still = middle + rng.normal(0, (0.08, 0.12, 0.04))
        yield members, acts(rng, data, turns, still)


def head_packs(rng: Random, data: Portraits, count: int) -> Iterator[tuple[list[Identity], list[Act]]]:
    """Rendered heads, turned far."""
    for _ in range(count):
        members: list[Identity] = [Head(rng, data) for _ in range(IDENTITIES)]
        strong = ACTS - 1 - CALM
        turns = np.stack(
            [rng.normal(0, 0.2, strong), rng.uniform(-0.8, 0.8, strong), rng.normal(0, 0.08, strong)], 1
        )
        yield members, acts(rng, data, turns, rng.normal(0, (0.12, 0.2, 0.05)))


def acts(rng: Random, data: Portraits, turns: Floats, still: Floats) -> list[Act]:
    """The source's act, a strong one in each of the turns (N, 3), and calm ones in one pose (3,)."""
    strong = [random_act(rng, data.scores, turn.astype(np.float32)) for turn in turns]
    nearly = still + rng.normal(0, 0.015, (CALM, 3))
    calm = [calm_act(rng, data.scores, turn.astype(np.float32)) for turn in nearly]
    return [SOURCE, *strong, *calm]


def played(members: list[Identity], acts: list[Act]) -> tuple[np.ndarray, ...]:
    views = [[one.play(act, STORED, ROOM) for act in acts] for one in members]
    return stacked(views, [one.canonical for one in members])


def stacked(views: list[list[View]], canonical: list[Floats]) -> tuple[np.ndarray, ...]:
    """One pack's arrays in the order of `NAMES`."""
    images, landmarks, seen = (
        np.stack([np.stack([getattr(view, name) for view in row]) for row in views])
        for name in ("crop", "landmarks", "seen")
    )
    return images, landmarks.astype(np.float16), np.stack(canonical).astype(np.float16), seen


def write(folder: Path, title: str, packs: Iterator[tuple[np.ndarray, ...]], total: int | None) -> None:
    """Keep packs in folders of `PART`, each complete when it appears."""
    waiting: list[tuple[np.ndarray, ...]] = []
    number = 0
    for pack in tqdm(packs, total=total, desc=title, unit="pack", dynamic_ncols=True):
        waiting.append(pack)
        if len(waiting) == PART:
            keep(folder / f"{title}-{number:03d}", waiting)
            number, waiting = number + 1, []
    if waiting:
        keep(folder / f"{title}-{number:03d}", waiting)


def keep(folder: Path, packs: list[tuple[np.ndarray, ...]]) -> None:
    unfinished = folder.with_suffix(".part")
    unfinished.mkdir(parents=True, exist_ok=True)
    for name, arrays in zip(NAMES, zip(*packs, strict=True), strict=True):
        np.save(unfinished / f"{name}.npy", np.stack(arrays))
    unfinished.rename(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--heads", type=int, default=0, help="packs of rendered heads")
    parser.add_argument("--portraits", type=int, help="packs of portraits; by default each portrait once")
    parser.add_argument("--clips", type=Path, help="folder of videos, or of folders of pictures")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=Path("runs/x2face/packs"))
    options = parser.parse_args()
    cv2.setNumThreads(1)
    rng = np.random.default_rng(options.seed)
    folder = options.output / options.split
    if options.data:
        data = load(options.data, options.split)
        folder.mkdir(parents=True, exist_ok=True)
        np.save(folder / SCORES, data.scores)
        count = len(data.pictures) // IDENTITIES if options.portraits is None else options.portraits
        packs = (played(*pack) for pack in islice(portrait_packs(rng, data), count))
        write(folder, f"portraits{options.seed}", packs, count)
        if options.heads:
            packs = (played(*pack) for pack in head_packs(rng, data, options.heads))
            write(folder, f"heads{options.seed}", packs, options.heads)
    if options.clips:
        clips = sorted(options.clips.iterdir())
        found = (pack for clip in clips for pack in frames_of(clip, ACTS, STORED, ROOM))
        write(folder, f"clips{options.seed}", (stacked([p.views], [p.canonical]) for p in found), None)


if __name__ == "__main__":
    main()
