"""Parts of `benchmarks/sensitivity.py`."""
