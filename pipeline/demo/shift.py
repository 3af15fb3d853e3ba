"""The real shift: sheets go through the scanner askew, its lamp dims and its sensor grows noisy."""

import numpy as np
from scipy import ndimage

from pipeline.demo.features import SIDE, Image

MAX_ANGLE_DEGREES = 35.0
DIMMED_TO = 0.6
NOISE = 0.1


def shifted(image: Image, rng: np.random.Generator) -> Image:
    """Distort one image as a failing scanner would.

    Args:
        image: float64[64], intensities from 0 to 1.
        rng: where the angle and the noise come from.

    Returns:
        float64[64]: rotated by half to the full angle either way, dimmed, with noise added, kept within 0 and 1.
    """
    angle = rng.uniform(MAX_ANGLE_DEGREES / 2, MAX_ANGLE_DEGREES) * rng.choice([-1.0, 1.0])
    rotated = ndimage.rotate(image.reshape(SIDE, SIDE), angle, reshape=False, order=1)
    noisy = rotated * DIMMED_TO + rng.normal(0.0, NOISE, (SIDE, SIDE))
    return np.asarray(np.clip(noisy, 0.0, 1.0).ravel(), dtype=np.float64)
