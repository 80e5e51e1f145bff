"""Randomness that depends only on the place in the training.

Every draw comes from a generator seeded by a hash of the run's seed and the name of the place: the number of the
sample, the micro-batch, the epoch. No generator outlives a step, so there is no state to save: a training resumed at
step k draws the same numbers as an undisturbed one. All generators are on the CPU, where they give the same numbers on
every machine.
"""

import hashlib
import json
from functools import lru_cache

import torch


def seed_of(seed: int, *place: str | int) -> int:
    """Return a 63-bit seed for `place`, unrelated to those of all other places."""
    digest = hashlib.sha256(json.dumps([seed, *place]).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator_of(seed: int, *place: str | int) -> torch.Generator:
    """Return a CPU generator for `place`."""
    return torch.Generator().manual_seed(seed_of(seed, *place))


def item_of(seed: int, position: int, num_items: int) -> int:
    """Return the item at `position`: every item once per epoch, each epoch in its own order."""
    epoch, place = divmod(position, num_items)
    return _order(seed, epoch, num_items)[place]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_items: int) -> tuple[int, ...]:
    return tuple(torch.randperm(num_items, generator=generator_of(seed, "order", epoch)).tolist())
