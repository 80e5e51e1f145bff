"""One small chest."""

import numpy as np


def make_chest(seed=0):
    """Return air, fat, an oval body, two lungs and a spine, with the noise of a scanner."""
    d, h, w = np.ogrid[-1:1:30j, -1:1:64j, -1:1:72j]
    hu = np.full((30, 64, 72), -1000.0)
    hu[np.broadcast_to((h / 0.8) ** 2 + (w / 0.92) ** 2 < 1, hu.shape)] = -100
    hu[np.broadcast_to((h / 0.72) ** 2 + (w / 0.86) ** 2 < 1, hu.shape)] = 50
    hu[np.broadcast_to(((h + 0.2) / 0.25) ** 2 + (w / 0.1) ** 2 < 1, hu.shape)] = -100
    for side in (-0.45, 0.4):
        hu[(d / 0.95) ** 2 + (h / 0.55) ** 2 + ((w - side) / 0.32) ** 2 < 1] = -840
    hu[np.broadcast_to((h - 0.6) ** 2 + w**2 < 0.01, hu.shape)] = 500
    noisy = hu + np.random.default_rng(seed).normal(0, 20, hu.shape)
    return np.rint(noisy).astype(np.int16)
