"""Adjusted p by hand, and for a single test."""

import pytest

from medsyn2.evaluation.statistics.families import adjust


def test_the_smallest_p_is_multiplied_by_all_and_none_falls_below_a_smaller_one() -> None:
    assert adjust([0.01, 0.04, 0.03, 0.005]).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_one_test_is_its_own_family_and_no_p_exceeds_one() -> None:
    assert adjust([0.03]).tolist() == [0.03]
    assert adjust([0.7, 0.8]).tolist() == [1.0, 1.0]
    assert adjust([]).tolist() == []
