"""How still the inside of a still open mouth is.

    python -m engines.mouth.flicker [--model engines/mouth/mouth.onnx]

A generated portrait, its mouth opened by the renderer, is filmed with sensor noise (sigma 3 of 255) and tracked as a
camera's pictures are; the same portrait is the target. Printed: the mean absolute change of 255 inside the lips
between consecutive outputs.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import openpeople

from engines.face_params.arrays import Floats, Pixels
from engines.mouth.pictures import EXPRESSIONS, SIZE, square_of, wearing
from xpcam.builders import open_tracker
from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams, Frame
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.seen import MouthSeen
from xpcam.rendering.renderer import Look, Renderer
from xpcam.settings import Settings
from xpcam.target import still as target
from xpcam.target.still import Target

FRAMES, SETTLED, NOISE = 60, 20, 3.0
PEOPLE = ("P001", "P004", "P008", "P010")


def followed(person: str, weights: dict[str, float]) -> tuple[Target, list[FaceParams]]:
    """A person's portrait as a target, and what the tracker reads of it with its mouth open."""
    path = Path(openpeople.curated.get(person).asset_path("studio_portrait"))
    rng, mouth = np.random.default_rng(0), MouthSeen()
    with open_tracker(Settings(device="cpu")) as tracker:
        picture = target.load_picture(path)
        picture = square_of(picture, target.the_face(path, tracker.locate(picture)).landmarks)
        one = target.prepare(picture, target.the_face(path, tracker.locate(picture)), SIZE)
        filmed = Renderer(one).render(wearing(one.params, weights)).astype(np.float32)
        seen = []
        for sequence in range(FRAMES):
            noisy = np.clip(filmed + rng.normal(0, NOISE, filmed.shape), 0, 255).astype(np.uint8)
            params = tracker.track(Frame(noisy, sequence, sequence / 30))
            if params is not None and sequence >= SETTLED:
                seen.append(replace(params, shown=mouth.of(noisy, params)))
    return one, seen


def change(one: Target, seen: list[FaceParams], look: Look) -> float:
    """Mean absolute change inside the lips from picture to picture, of 255."""
    renderer = Renderer(one, look)
    pictures: list[Pixels] = [renderer.render(params).copy() for params in seen]
    lips: Floats = seen[0].landmarks[list(fl.INNER_LIPS), :2]
    mask = np.zeros(pictures[0].shape[:2], np.uint8)
    cv2.fillPoly(mask, [lips.round().astype(np.int32)], 1)
    inside = cv2.erode(mask, np.ones((5, 5))) > 0
    rows = np.stack([picture[inside] for picture in pictures]).astype(np.float32)
    return float(np.abs(np.diff(rows, axis=0)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("mouth.onnx"))
    options = parser.parse_args()
    looks = {"dark": Look(interior="dark"), "drawn": Look(interior="drawn")}
    looks["engine"] = Look(engine=MouthEngine(options.model, device="cpu"))
    print("| interior | speech | wide open |\n| --- | --- | --- |")
    driven = {
        name: [followed(person, EXPRESSIONS[name]) for person in PEOPLE] for name in ("speech", "wide open")
    }
    for name, look in looks.items():
        found = [np.mean([change(one, seen, look) for one, seen in pairs]) for pairs in driven.values()]
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in found) + " |")


if __name__ == "__main__":
    main()
