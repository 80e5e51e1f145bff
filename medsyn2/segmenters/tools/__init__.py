"""External segmenters, each in its own process."""
