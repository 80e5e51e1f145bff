"""Intervals over patients, paired comparisons and classification scores."""
