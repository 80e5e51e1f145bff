"""Weights that others made: where they come from, what a configuration needs, and whether they are there."""
