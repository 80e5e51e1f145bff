"""Randomness that depends on the place in the training and on nothing else.

Every draw comes from a generator seeded by a hash of the run's seed and of the name of the place: the number
of the sample, the micro-batch, the epoch. No generator lives from one step to the next, so there is no state
to save: whoever resumes at step k, on whatever machine, draws what an undisturbed run draws at step k. All
generators are the CPU's, which give the same numbers on every machine.
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
    """Return which item is seen at `position`: all once an epoch, each epoch in its own order.

    Args:
        seed: The run's seed.
        position: Number of the sample since the beginning of the training.
        num_items: How many there are.
    """
    epoch, place = divmod(position, num_items)
    return _order(seed, epoch, num_items)[place]


@lru_cache(maxsize=4)
def _order(seed: int, epoch: int, num_items: int) -> tuple[int, ...]:
    return tuple(torch.randperm(num_items, generator=generator_of(seed, "order", epoch)).tolist())
