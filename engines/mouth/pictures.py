"""One sheet of mouths: five expressions on twelve targets, photographs, paintings, drawings, black and white.

    python -m engines.mouth.pictures --output docs/mouths.jpg [--before dark] [--clip mouths.mp4]

The targets are generated people of the `openpeople` package. Each row is one target at rest, speaking, smiling with
its teeth, with its mouth wide open, and with its tongue out. With --before there is a second such row above each,
made with that --interior. With --clip the twelve pass through the five expressions and back, for ever.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import openpeople

from engines.face_params.arrays import Floats, Pixels
from xpcam.builders import open_tracker
from xpcam.face import landmarks as fl
from xpcam.face.model import TONGUE_OUT
from xpcam.frame import FaceParams
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.interior import Interior
from xpcam.rendering.renderer import Look, Renderer
from xpcam.resources import shipped
from xpcam.settings import Settings
from xpcam.target import still as target
from xpcam.target.still import Target

SIZE = (720, 720)
TILE = 140
FACE = 400  # height of a target's face, pixels
EXPRESSIONS: dict[str, dict[str, float]] = {
    "closed": {},
    "speech": {"jawOpen": 0.25, "mouthLowerDown": 0.35, "mouthUpperUp": 0.2},
    "smile": {"jawOpen": 0.12, "mouthSmile": 0.9, "mouthUpperUp": 0.45, "mouthLowerDown": 0.3},
    "wide open": {"jawOpen": 0.95},
    "tongue": {"jawOpen": 0.6, "mouthLowerDown": 0.3, "tongueOut": 1.0},
}
STEPS = 12  # pictures from one expression to the next in the clip


def grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR))


def painted(picture: Pixels) -> Pixels:
    """Broad strokes: what a brush of some width leaves."""
    return np.asarray(cv2.stylization(picture, sigma_s=25, sigma_r=0.35))


def drawn(picture: Pixels) -> Pixels:
    """Flat, strong colours."""
    flat = picture
    for _ in range(5):
        flat = np.asarray(cv2.bilateralFilter(flat, 9, 40, 9))
    flat = np.asarray(cv2.medianBlur(flat // 32 * 32 + 16, 5))
    hue = cv2.cvtColor(flat, cv2.COLOR_BGR2HSV).astype(np.int32)
    hue[..., 1] = np.minimum(hue[..., 1] * 13 // 10, 255)
    return np.asarray(cv2.cvtColor(hue.astype(np.uint8), cv2.COLOR_HSV2BGR))


TARGETS = (  # person, picture, style
    ("P001", "studio_portrait", None), ("P003", "studio_portrait", None), ("P004", "studio_portrait", None),
    ("P006", "amateur_selfie", None), ("P008", "studio_portrait", None), ("P010", "studio_portrait", None),
    ("P002", "studio_portrait", grey), ("P009", "studio_portrait", grey), ("P005", "studio_portrait", painted),
    ("P008", "amateur_selfie", painted), ("P007", "studio_portrait", drawn), ("P009", "amateur_selfie", drawn),
)  # fmt: skip


def targets() -> Iterator[Target]:
    """The twelve, each with a face of `FACE` pixels."""
    with open_tracker(Settings(device="cpu")) as tracker:
        for person, asset, style in TARGETS:
            path = openpeople.curated.get(person).asset_path(asset)
            picture = target.load_picture(Path(path))
            face = target.the_face(Path(path), tracker.locate(picture))
            square = square_of(picture, face.landmarks)
            shown = square if style is None else style(square)
            yield target.prepare(shown, target.the_face(Path(path), tracker.locate(square)), SIZE)


def square_of(picture: Pixels, landmarks: Floats) -> Pixels:
    """The picture about its face, which is `FACE` pixels tall in it."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    scale = FACE / float(high[1] - low[1])
    shift = np.array(SIZE) / 2 - (low + high) / 2 * scale
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.warpAffine(picture, matrix, SIZE, flags=way, borderMode=cv2.BORDER_REPLICATE))


def wearing(params: FaceParams, weights: dict[str, float]) -> FaceParams:
    """The target's face with ARKit weights added; a name without its side is both sides'."""
    mesh, face = fl.face_mesh(), fl.unpose(params.landmarks, params.pose, depth=0.0)
    expression = np.zeros(52, np.float32)
    expression[TONGUE_OUT] = weights.get("tongueOut", 0.0)
    for row, name in enumerate(mesh.blendshape_names):
        weight = weights.get(name, weights.get(name.removesuffix("Left").removesuffix("Right"), 0.0))
        face += np.float32(weight) * mesh.basis[row]
    return replace(params, landmarks=fl.apply_pose(face, params.pose), expression=expression)


def mouth_of(picture: Pixels, still: FaceParams) -> Pixels:
    """The lower half of the face, `TILE` pixels wide."""
    middle = still.landmarks[[13, 61, 291, 152], :2].mean(axis=0)
    scale = TILE / (1.35 * still.pose.scale)
    matrix = np.array([[scale, 0, TILE / 2 - scale * middle[0]], [0, scale, TILE / 2 - scale * middle[1]]])
    return np.asarray(cv2.warpAffine(picture, matrix, (TILE, TILE), flags=cv2.INTER_AREA))


@cache
def look(interior: Interior = "on") -> Look:
    """As the product draws it."""
    return Look(interior=interior, engine=MouthEngine(shipped("mouth.onnx"), device="cpu"))


def row_of(one: Target, interior: Interior) -> Pixels:
    renderer = Renderer(one, look(interior))
    faces = [wearing(one.params, weights) for weights in EXPRESSIONS.values()]
    return np.hstack([mouth_of(renderer.render(face), one.params) for face in faces])


def in_between(step: int) -> dict[str, float]:
    """Weights of the clip's picture `step`."""
    around = list(EXPRESSIONS.values())
    first, second = around[step // STEPS % len(around)], around[(step // STEPS + 1) % len(around)]
    share = 0.5 - 0.5 * float(np.cos(np.pi * (step % STEPS) / STEPS))
    names = first.keys() | second.keys()
    return {name: first.get(name, 0.0) * (1 - share) + second.get(name, 0.0) * share for name in names}


def write_clip(file: Path, shown: list[Target]) -> None:
    """All targets at once through the expressions and back to the first."""
    renderers = [Renderer(one, look()) for one in shown]
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"mp4v"), 25, (TILE * 4, TILE * 3))
    for step in range(STEPS * len(EXPRESSIONS)):
        tiles = [
            mouth_of(renderer.render(wearing(one.params, in_between(step))), one.params)
            for renderer, one in zip(renderers, shown, strict=True)
        ]
        writer.write(np.vstack([np.hstack(tiles[row * 4 : row * 4 + 4]) for row in range(3)]))
    writer.release()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("docs/mouths.jpg"))
    parser.add_argument("--before", choices=("drawn", "dark", "off"))
    parser.add_argument("--clip", type=Path)
    options = parser.parse_args()
    shown = list(targets())
    ways: list[Interior] = [options.before, "on"] if options.before else ["on"]
    rows = [np.vstack([row_of(one, way) for way in ways]) for one in shown]
    half = len(rows) // 2
    sheet = np.hstack([np.vstack(rows[:half]), np.vstack(rows[half:])])
    cv2.imwrite(str(options.output), sheet, [cv2.IMWRITE_JPEG_QUALITY, 80])
    if options.clip:
        write_clip(options.clip, shown)


if __name__ == "__main__":
    main()
