"""How alike two pictures are."""

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels


def grey(picture: Pixels) -> Floats:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), np.float32)


def similarity(a: Floats, b: Floats) -> Floats:
    """(H, W) structural similarity of two grey pictures."""

    def mean(values: Floats) -> Floats:
        return np.asarray(cv2.blur(values, (7, 7)))

    first, second = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    together = mean(a * b) - mean_a * mean_b
    over = (2 * mean_a * mean_b + first) * (2 * together + second)
    return np.asarray(over / ((mean_a**2 + mean_b**2 + first) * (var_a + var_b + second)))
