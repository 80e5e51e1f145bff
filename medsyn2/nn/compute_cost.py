"""What a computation takes, as a value: whoever reads one needs no torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ComputeCost:
    """Cost of a computation."""

    flops: int  # Floating-point operations
    peak_bytes: int  # Largest total size of its own tensors alive at once
