"""Sizes of the blocks in which distances are computed, for their code and for the estimate of a job's memory.

Here and not beside their code, because the estimate needs none of what the code imports.
"""

KERNEL_MAX_SLICES = 16
"""Slices of a volume in the kernel distance, evenly spaced where it has more."""

KERNEL_CHUNK_ROWS = 4096
"""Rows of the kernel matrix that exist at once."""

FRECHET_CHUNK_ROWS = 8192
"""Slices whose features are converted to double precision at once."""
