"""Phantoms at the classical segmenter's working grid, with the truth they were painted from."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pytest

from medsyn2.ct.geometry import nearest_labels
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters.classical.airways import find_airways
from medsyn2.segmenters.classical.cage import inside_cage
from medsyn2.segmenters.classical.effusions import find_pleural_effusion
from medsyn2.segmenters.classical.thorax import Thorax, thorax_of

SPACING_MM = 3.0


@dataclass(frozen=True)
class Known:
    """A phantom's thorax and what is truly in it."""

    thorax: Thorax
    truth: dict[str, np.ndarray]

    @cached_property
    def airways(self) -> np.ndarray:
        """The airways that are found."""
        return find_airways(self.thorax)

    @cached_property
    def cage(self) -> np.ndarray:
        """The inside of the rib cage that is found."""
        return inside_cage(self.thorax)

    @cached_property
    def fluid(self) -> np.ndarray:
        """The pleural effusion that is found."""
        return find_pleural_effusion(self.thorax, self.cage)

    def dice(self, found: np.ndarray, structure: str) -> float:
        """Dice of what was found with the truth."""
        return dice(found, self.truth[structure])


@pytest.fixture(scope="session")
def known() -> Callable[[int], Known]:
    """Return the phantom of an index of seed 0."""

    @cache
    def make(index: int) -> Known:
        subject = draw_subject(0, index)
        phantom = scan(subject, draw_acquisition(subject, SPACING_MM))
        thorax = thorax_of(phantom.volume, SPACING_MM)
        truth = {name: nearest_labels(found, thorax.grid).labels > 0 for name, found in phantom.truth.items()}
        return Known(thorax, truth)

    return make
