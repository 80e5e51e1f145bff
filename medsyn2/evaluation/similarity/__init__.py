"""Overlap and surface distances of masks, and similarity of volumes."""
