"""Affine registration to the common template."""
