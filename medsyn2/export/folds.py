"""Folds of a cross-validation in which cases that depend on each other stay together.

A volume that was generated from a patient's mask shows that patient's anatomy, as do further volumes of the same mask
and edits of the same CT. If one of them is trained on and another one is scored, the score is of a case that was seen.
"""

import hashlib
from collections import Counter
from collections.abc import Collection, Sequence


def group_related(keys: Sequence[Collection[str]]) -> list[str]:
    """Return the group of each case: cases that share a key, directly or through others, have one group.

    Args:
        keys: Of each case, the patient, mask or CT that it depends on; at least one.

    Returns:
        The first key, by alphabet, of each case's group.
    """
    first: dict[str, str] = {}

    def root(key: str) -> str:
        while first.setdefault(key, key) != key:
            first[key] = first[first[key]]
            key = first[key]
        return key

    for own in keys:
        roots = sorted(root(key) for key in own)
        first.update(dict.fromkeys(roots, roots[0]))
    return [root(min(own)) for own in keys]


def assign_folds(groups: Sequence[str], num_folds: int) -> list[int]:
    """Return the fold of each case: whole groups, the largest first, each into the fold with the fewest cases.

    Groups of one size come in the order of their hashes, so that the order of the cohort decides nothing.
    """
    sizes = Counter(groups)
    order = sorted(sizes, key=lambda group: (-sizes[group], hashlib.sha256(group.encode()).digest()))
    counts, folds = [0] * num_folds, dict[str, int]()
    for group in order:
        folds[group] = counts.index(min(counts))
        counts[folds[group]] += sizes[group]
    return [folds[group] for group in groups]
