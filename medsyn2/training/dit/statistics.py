"""Mean and standard deviation of each latent channel, from the sums in each case's record.

The tokenizer's latents have large means and unequal spreads (the weight of its divergence is tiny), so the transformer
sees them normalised by channel. The statistics are those of the whole training split: a single volume's could not be
inverted for a volume yet to be sampled.
"""

import math
from collections.abc import Iterable

from medsyn2.errors import WeightsError
from medsyn2.facts import ChannelSums
from medsyn2.weights.model_folder import ChannelStatistics

_SMALLEST_STD = 1e-6


def channel_statistics(sums: Iterable[ChannelSums], *, subject: str) -> ChannelStatistics | None:
    """Add sums up.

    Returns:
        The statistics, or None if there is nothing in the sums.

    Raises:
        WeightsError: If a channel is constant, which no trained tokenizer gives.
    """
    used = [case for case in sums if case.count]
    if not used:
        return None
    count = sum(case.count for case in used)
    means, deviations = [], []
    for channel in range(len(used[0].sum)):
        mean = math.fsum(case.sum[channel] for case in used) / count
        square = math.fsum(case.sum_of_squares[channel] for case in used) / count
        means.append(mean)
        deviations.append(math.sqrt(max(0.0, square - mean**2)))
    if min(deviations) < _SMALLEST_STD:
        raise WeightsError(
            f"Expected {subject} latents that differ from voxel to voxel, got the standard deviations "
            f"{deviations} of the channels.",
            code="latents-constant",
            remedy="the tokenizer has not learned anything; look at its losses and train it longer.",
        )
    return ChannelStatistics(tuple(means), tuple(deviations))
