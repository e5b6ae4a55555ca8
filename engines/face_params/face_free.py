"""Pictures without a face, for what must not be taken for one: drawn ones, and portraits whose face is gone."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.tracking.crops import crop_matrix, face_square

Random = np.random.Generator


def shuffled(rng: Random, crop: Pixels) -> Pixels:
    """The crop's tiles in another order: skin and hair, but no face."""
    tiles = int(rng.integers(3, 7))
    step = len(crop) // tiles
    order = rng.permutation(tiles * tiles)
    result = crop.copy()
    for goal, source in enumerate(order):
        (gy, gx), (sy, sx) = divmod(goal, tiles), divmod(int(source), tiles)
        tile = crop[sy * step : (sy + 1) * step, sx * step : (sx + 1) * step]
        if rng.random() < 0.5:
            tile = tile[::-1]
        result[gy * step : (gy + 1) * step, gx * step : (gx + 1) * step] = tile
    return result


def texture(rng: Random, side: int) -> Pixels:
    """Noise of many scales, gradients, stripes, boxes, circles, text: a face-free picture."""
    picture: Pixels = np.zeros((side, side, 3), np.float32)
    for _ in range(rng.integers(1, 5)):
        cells = int(2 ** rng.uniform(1, 6))
        noise: Floats = rng.random((cells, cells, 3 if rng.random() < 0.6 else 1)).astype(np.float32)
        noise = cv2.resize(
            noise, (side, side), interpolation=cv2.INTER_CUBIC if rng.random() < 0.7 else cv2.INTER_NEAREST
        )
        picture += noise.reshape(side, side, -1) * rng.uniform(0.2, 1)
    picture = np.clip(picture / max(float(picture.max()), 0.1) * 255, 0, 255).astype(np.uint8)
    for _ in range(rng.integers(0, 25)):
        colour, (x, y) = rng.uniform(0, 255, 3).tolist(), rng.integers(0, side, 2).tolist()
        size, thick = int(rng.exponential(side * 0.08)) + 2, int(rng.choice([-1, -1, 1, 2, 5]))
        kind = rng.integers(5)
        if kind == 0:
            cv2.rectangle(picture, (x, y), (x + size, y + int(size * rng.uniform(0.2, 3))), colour, thick)
        elif kind == 1:
            cv2.ellipse(
                picture,
                (x, y),
                (size, int(size * rng.uniform(0.3, 1.5))),
                float(rng.uniform(0, 180)),
                0,
                360,
                colour,
                thick,
            )
        elif kind == 2:
            cv2.line(picture, (x, y), rng.integers(0, side, 2).tolist(), colour, int(rng.integers(1, 8)))
        elif kind == 3:
            word = "".join(chr(c) for c in rng.integers(48, 122, 6))
            cv2.putText(picture, word, (x, y), int(rng.integers(0, 7)), size / 24, colour, max(1, abs(thick)))
        else:  # two circles with a bar beneath: what a hasty detector takes for a face
            for sign in (-1, 1):
                cv2.circle(picture, (x + sign * size, y), max(1, size // 3), colour, thick)
            cv2.ellipse(picture, (x, y + size), (size, max(1, size // 4)), 0, 0, 360, colour, thick)
    return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 3)) if rng.random() < 0.4 else picture


def destroyed(rng: Random, picture: Pixels, landmarks: Floats) -> Pixels:
    """The portrait without its face: hair, clothes and surroundings stay."""
    centre, side, roll = face_square(landmarks)
    result = picture.copy()
    kind = rng.random()
    if kind < 0.4:  # another thing in the face's place
        patch = texture(rng, 64)
    elif kind < 0.7:  # the face itself, tiles shuffled
        matrix = crop_matrix(centre, side * 0.75, roll)
        patch = shuffled(rng, cv2.warpAffine(picture, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE))
    else:  # its mean colours
        matrix = crop_matrix(centre, side * 0.75, roll)
        patch = cv2.resize(cv2.warpAffine(picture, matrix, (256, 256)), (3, 3), interpolation=cv2.INTER_AREA)
    size = int(side * 1.25)
    patch = cv2.resize(patch, (size, size), interpolation=cv2.INTER_LINEAR)
    mask: Floats = np.zeros((size, size), np.float32)
    cv2.ellipse(mask, (size // 2, size // 2), (int(size * 0.44), int(size * 0.47)), 0, 0, 360, 1.0, -1)
    mask = cv2.GaussianBlur(mask, (0, 0), size * 0.02 + 0.5)
    low = np.round(centre - size / 2).astype(int)
    a, b = np.maximum(low, 0), np.minimum(low + size, picture.shape[1::-1])
    if (b - a <= 0).any():
        return result
    inner = slice(a[1] - low[1], b[1] - low[1]), slice(a[0] - low[0], b[0] - low[0])
    region = result[a[1] : b[1], a[0] : b[0]]
    region[:] = (region + (patch[inner].astype(np.float32) - region) * mask[inner][..., None]).astype(
        np.uint8
    )
    return result
