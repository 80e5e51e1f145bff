"""The size of a thumbnail, for the search and for the estimate of its memory, which imports nothing of the search."""

THUMBNAIL = 32
"""Voxels on each axis."""
