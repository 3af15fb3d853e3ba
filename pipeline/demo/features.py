"""Ten figures of an 8 x 8 image that a person can name: what drift is watched on instead of 64 raw pixels."""

import numpy as np
from numpy.typing import NDArray

SIDE = 8
"""Images are SIDE x SIDE pixels."""

INK = 0.25
"""A pixel above this intensity counts as ink."""

Image = NDArray[np.float64]


def input_features(image: Image) -> dict[str, float]:
    """Describe one image.

    Args:
        image: float64[64], rows first, intensities from 0 (paper) to 1 (ink).

    Returns:
        Feature name to value; every value is finite.
    """
    grid = image.reshape(SIDE, SIDE)
    total = float(grid.sum())
    ink = grid > INK
    positions = np.arange(SIDE) - (SIDE - 1) / 2
    # A blank image has its centre of mass in the middle and no spread.
    mass_x, mass_y = grid.sum(axis=0), grid.sum(axis=1)
    centre_x = float(mass_x @ positions) / total if total else 0.0
    centre_y = float(mass_y @ positions) / total if total else 0.0
    spread = (
        float(mass_x @ (positions - centre_x) ** 2 + mass_y @ (positions - centre_y) ** 2) / total if total else 0.0
    )
    return {
        "mean_intensity": total / grid.size,
        "ink_intensity": float(grid[ink].mean()) if ink.any() else 0.0,
        "contrast": float(grid.std()),
        "ink_ratio": float(ink.mean()),
        "centre_x": centre_x,
        "centre_y": centre_y,
        "spread": spread,
        "mirror_difference": float(np.abs(grid - grid[:, ::-1]).mean()),
        "edge_energy": float(np.abs(np.diff(grid, axis=0)).mean() + np.abs(np.diff(grid, axis=1)).mean()),
        "border_intensity": float(grid[[0, -1], :].mean() + grid[:, [0, -1]].mean()) / 2,
    }
