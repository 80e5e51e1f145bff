"""Rows of the table of reliability (``benchmarks/faults.py``): each is a function from a finished run to a `Row`."""
