"""Banks in comparisons: what is computed of one part once, however many others it is compared with."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Int

from medsyn2.evaluation.features.banks import Bank
from medsyn2.evaluation.features.frechet import Gaussian, Moments
from medsyn2.evaluation.fidelity.kernel import Slices
from medsyn2.evaluation.fidelity.sizes import FRECHET_KEPT


class View:
    """One part of a bank."""

    def __init__(self, bank: Bank, part: str) -> None:
        self.features, self.patient_of_row = bank.parts[part].features, bank.patient_of_row(part)
        self.slices = Slices(self.features, bank.parts[part].volume, bank.patients)
        self.points = bank.volume_means(part)
        self._moments: dict[bytes, Moments] = {}

    @cached_property
    def gaussian(self) -> Gaussian:
        """The Gaussian of all rows."""
        return Gaussian.of(self.features)

    def gaussian_of(self, group: Int[np.ndarray, " n"], groups: Sequence[int]) -> Gaussian:
        """Return the Gaussian of the rows of some groups, by the group of each row."""
        chosen = np.isin(group, groups)
        if np.count_nonzero(chosen) <= self.features.shape[1]:
            return Gaussian.of(self.features[chosen])
        present = [one for one in groups if (group == one).any()]
        return Gaussian.of_moments(Moments.pool([self._moments_of(group == one) for one in present]))

    def _moments_of(self, chosen: Bool[np.ndarray, " n"]) -> Moments:
        """Return the moments of some rows; the last few are kept."""
        key = np.packbits(chosen).tobytes()
        if key not in self._moments:
            while len(self._moments) >= FRECHET_KEPT:
                del self._moments[next(iter(self._moments))]
            self._moments[key] = Moments.of(self.features[chosen])
        return self._moments[key]


class Views:
    """A bank by its parts."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self._views: dict[str, View] = {}

    def of(self, part: str) -> View:
        """Return what is computed of a part."""
        if part not in self._views:
            self._views[part] = View(self.bank, part)
        return self._views[part]
