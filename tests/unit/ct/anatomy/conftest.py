from collections.abc import Callable

import numpy as np
import pytest

from medsyn2.ct.anatomy.view import ChestView, coarsen, view_chest
from medsyn2.ct.volume import CTVolume
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.subject import draw_subject


@pytest.fixture(scope="session")
def chest() -> CTVolume:
    """A phantom at about 4 mm; its truth is known from how it is made."""
    subject = draw_subject(0, 2)
    return scan(subject, draw_acquisition(subject, 4.0)).volume


@pytest.fixture(scope="session")
def view_of() -> Callable[..., ChestView]:
    """View HU on a grid of the phantom's spacing, or of another one."""

    def view_of(hu: np.ndarray, spacing_mm: tuple[float, float, float]) -> ChestView:
        view = view_chest(*coarsen(hu, spacing_mm))
        assert view is not None
        return view

    return view_of


@pytest.fixture(scope="session")
def view(chest: CTVolume, view_of: Callable[..., ChestView]) -> ChestView:
    """The phantom, seen coarsely."""
    return view_of(chest.hu, chest.spacing_mm)
