"""Sizes of the blocks in which distances are computed, for their code and for the estimate of a job's memory.

Here and not beside their code, because the estimate needs none of what the code imports.
"""

KERNEL_MAX_SLICES = 16
"""Slices of a volume in the kernel distance, evenly spaced where it has more."""

KERNEL_MAX_ROWS = 8192
"""Slices of a set in the kernel distance, at least one of each volume: large cohorts have more than enough."""

KERNEL_CHUNK_ROWS = 512
"""Rows of the kernel matrix that exist at once."""

FAULT_VOLUMES = 4
"""Real volumes on which faults are tried, spread over the set; each costs `FAULTY_PASSES` passes of the extractor."""

FAULTY_PASSES = 7
"""Passes of each of them through the extractor in a window: as it is, and with three faults at two strengths."""

FRECHET_KEPT = 8
"""Sets of rows of a part whose moments are kept: the six groups of a division and two halves."""
