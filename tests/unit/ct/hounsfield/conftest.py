"""One small chest, and its field of view cut in the ways of scanners and programs."""

import numpy as np
import pytest

from tests.unit.ct.hounsfield.chests import make_chest


@pytest.fixture(scope="session")
def chest():
    """HU of a chest in a box."""
    return make_chest()


@pytest.fixture(scope="session")
def outside(chest):
    """Where the corners outside a circular field of view are."""
    h, w = np.ogrid[-1 : 1 : chest.shape[1] * 1j, -1 : 1 : chest.shape[2] * 1j]
    return np.broadcast_to(h**2 + w**2 >= 0.98, chest.shape)
