"""Gaussians of groups of rows are those of the rows, whatever was computed before."""

import numpy as np
import pytest

from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.frechet import Gaussian
from medsyn2.evaluation.fidelity.views import Views

FACTS = BankFacts("real", "gaussian", "none", "0", "nothing", {}, "0", (-1.0, 1.0), None)


@pytest.mark.parametrize("width", [5, 200])
def test_gaussian_of_groups_is_that_of_their_rows(width: int) -> None:
    rng = np.random.default_rng(0)
    part = Part(rng.normal(size=(120, width)).astype(np.float32), np.repeat(np.arange(12), 10))
    names = tuple(f"p{i:02d}" for i in range(12))
    views = Views(Bank(FACTS, names, names, {"a": part}))
    assert views.of("a") is views.of("a")
    for seed in range(4):  # More divisions than are kept.
        group = rng.permutation(np.arange(12) % 5)[views.of("a").patient_of_row]
        for groups in ((0, 1), (2, 3, 4, 5), (0, 1, 2, 3, 4)):
            found = views.of("a").gaussian_of(group, groups)
            expected = Gaussian.of(part.features[np.isin(group, groups)])
            np.testing.assert_allclose(found.mean, expected.mean, atol=1e-12)
            np.testing.assert_allclose(found.root @ found.root.T, expected.root @ expected.root.T, atol=1e-10)
            assert found.num == expected.num, seed
