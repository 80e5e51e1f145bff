"""Seeds of samples: each follows from a configured seed, the case and the condition, and from nothing else."""

import hashlib

from medsyn2.fingerprints import canonical_json

NUM_SEEDS = 2**32


def derive_seed(seed: int, case: str, condition: str) -> int:
    """Return the seed of one sample, a number below 2^32, the same whatever else is sampled."""
    digest = hashlib.sha256(canonical_json([seed, case, condition]).encode()).digest()
    return int.from_bytes(digest[:8], "big") % NUM_SEEDS
