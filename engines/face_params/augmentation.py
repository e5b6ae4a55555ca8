"""What a webcam, its room and its compression do to a crop. All functions take and return (H, W, 3) uint8 BGR."""

import cv2
import numpy as np

from engines.face_params.arrays import Pixels

Random = np.random.Generator


def recolour(rng: Random, picture: Pixels) -> Pixels:
    """White balance, exposure, gamma, contrast, saturation, at times a dark room: one table look-up."""
    levels = np.linspace(0, 1, 256)[:, None] ** np.exp(rng.normal(0, 0.25))
    gain = np.exp(rng.normal(0, 0.18)) * np.exp(rng.normal(0, 0.1, 3))
    if rng.random() < 0.12:
        gain *= rng.uniform(0.15, 0.5)
    table = (levels - 0.5) * np.exp(rng.normal(0, 0.15)) + 0.5
    table = np.clip(table * gain * 255, 0, 255).astype(np.uint8)
    picture = cv2.LUT(picture, np.ascontiguousarray(table.reshape(1, 256, 3)))
    if rng.random() < 0.35:
        grey = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
        share = rng.uniform(-0.3, 1.0)
        picture = cv2.addWeighted(picture, 1 - share, grey, share, 0)
    return picture


def side_light(rng: Random, picture: Pixels) -> Pixels:
    """A soft shadow or lamp from one side."""
    height, width = picture.shape[:2]
    corners = rng.uniform(0.35, 1.3, (2, 2)).astype(np.float32)
    field = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    return cv2.multiply(picture, cv2.merge([field] * 3), dtype=cv2.CV_8U)


def occlude(rng: Random, picture: Pixels) -> None:
    """Hands, microphones, cups, hair: a blob or a bar in a colour of the picture or any other, in place."""
    height, width = picture.shape[:2]
    for _ in range(rng.integers(1, 3)):
        y, x = rng.integers(0, height), rng.integers(0, width)
        colour = picture[y, x].astype(float) if rng.random() < 0.5 else rng.uniform(0, 255, 3)
        at = rng.normal((width / 2, height * 0.55), width * 0.3, 2).astype(int)
        size = rng.uniform(0.04, 0.2, 2) * width
        angle = float(rng.uniform(0, 180))
        if rng.random() < 0.6:
            axes = (int(size[0]), int(size[1]))
            cv2.ellipse(
                picture, (int(at[0]), int(at[1])), axes, angle, 0, 360, colour.tolist(), -1, cv2.LINE_AA
            )
        else:
            box = cv2.boxPoints(
                ((float(at[0]), float(at[1])), (float(size[0] * 3), float(size[1] * 0.5)), angle)
            )
            cv2.fillPoly(picture, [box.astype(np.int32)], colour.tolist(), cv2.LINE_AA)


def glasses(rng: Random, picture: Pixels, eyes: np.ndarray) -> None:
    """Frames around the two eye centres (2, 2), in place."""
    span = float(np.linalg.norm(eyes[1] - eyes[0]))
    if span < 12:
        return
    angle = float(np.degrees(np.arctan2(*(eyes[1] - eyes[0])[::-1])))
    colour = rng.uniform(0, 1) ** 2 * rng.uniform(60, 255, 3)
    thickness = max(1, int(span * rng.uniform(0.015, 0.07)))
    axes = (int(span * rng.uniform(0.36, 0.46)), int(span * rng.uniform(0.26, 0.4)))
    for eye in eyes:
        at = (int(eye[0]), int(eye[1] + span * 0.05))
        cv2.ellipse(picture, at, axes, angle, 0, 360, colour.tolist(), thickness, cv2.LINE_AA)


def blur(rng: Random, picture: Pixels) -> Pixels:
    """Out of focus, or moved."""
    if rng.random() < 0.5:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 2.2))
    length = int(rng.integers(3, 12))
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    angle = rng.uniform(0, np.pi)
    reach = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = (middle - reach).round().astype(int), (middle + reach).round().astype(int)
    cv2.line(kernel, start.tolist(), end.tolist(), 1.0)
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def through_camera(rng: Random, picture: Pixels) -> Pixels:
    """Sampled coarsely, with sensor noise and JPEG compression, then brought back to its size."""
    height, width = picture.shape[:2]
    side = int(np.exp(rng.uniform(np.log(90), np.log(360)))) if rng.random() < 0.75 else width
    if side < width:
        picture = cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.35:
        noise = np.empty(picture.shape, np.int16)
        cv2.setRNGSeed(int(rng.integers(1 << 30)))
        cv2.randn(noise, np.zeros(3), np.full(3, rng.uniform(1, 12)))  # a plain number would mean blue only
        picture = cv2.add(picture, noise, dtype=cv2.CV_8U)
    if rng.random() < 0.6:
        quality = int(rng.uniform(20, 90))
        encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        picture = np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
    if picture.shape[0] != height:
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
    return picture


def webcam(rng: Random, picture: Pixels) -> Pixels:
    """The whole chain, each part now and then."""
    if rng.random() < 0.25:
        picture = side_light(rng, picture)
    if rng.random() < 0.9:
        picture = recolour(rng, picture)
    if rng.random() < 0.2:
        picture = blur(rng, picture)
    return through_camera(rng, picture)
