"""Sizes of the comparison of masks, for its code and for the estimate of its cost."""

NUM_SHUFFLES = 4
"""Masks of other patients that a generated volume is compared with, at most."""
