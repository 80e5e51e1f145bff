"""Cases that depend on each other are in one fold, and the folds are even."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medsyn2.export.folds import assign_folds, group_related


def test_a_chain_of_shared_keys_is_one_group() -> None:
    keys = [{"patient b"}, {"patient a", "mask 1"}, {"mask 1", "mask 2"}, {"patient b", "mask 2"}, {"patient c"}]
    assert group_related(keys) == ["mask 1"] * 4 + ["patient c"]


@given(st.lists(st.sets(st.integers(0, 12).map(str), min_size=1, max_size=3), min_size=1, max_size=20))
def test_groups_are_the_connected_parts(keys: list[set[str]]) -> None:
    groups = group_related(keys)
    for one, first in zip(keys, groups, strict=True):
        for other, second in zip(keys, groups, strict=True):
            assert not one & other or first == second
    assert len(set(groups)) >= len({min(set.union(*keys))})
    for group in set(groups):  # no key is in two groups
        inside = set().union(*(one for one, found in zip(keys, groups, strict=True) if found == group))
        outside = set().union(*(one for one, found in zip(keys, groups, strict=True) if found != group))
        assert not inside & outside


@pytest.mark.parametrize("num_folds", [2, 5])
def test_folds_hold_whole_groups_and_as_many_cases(num_folds: int) -> None:
    groups = [f"p{number // 3}" for number in range(60)]
    folds = assign_folds(groups, num_folds)
    assert len(set(zip(groups, folds, strict=True))) == 20
    counts = Counter(folds)
    assert sorted(counts) == list(range(num_folds))
    assert max(counts.values()) - min(counts.values()) <= 3


def test_the_order_of_the_cases_decides_nothing() -> None:
    groups = [f"p{number}" for number in range(11)]
    straight = dict(zip(groups, assign_folds(groups, 5), strict=True))
    assert straight == dict(zip(groups[::-1], assign_folds(groups[::-1], 5), strict=True))
