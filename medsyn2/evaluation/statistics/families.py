"""Families of tests: the p of each as if it were the only one, adjusted for all that were made.

Of twenty tests without an effect one falls below 5 %. Holm's adjusted p is below a level in at most that share of
families without an effect, however the tests depend on each other.

Source: Holm 1979, Scand J Stat 6:65.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def adjust(p: Sequence[float]) -> Float[np.ndarray, " t"]:
    """Return the adjusted p of each test of a family."""
    order = np.argsort(p, kind="stable")
    steps = np.array(p)[order] * np.arange(len(p), 0, -1)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted
