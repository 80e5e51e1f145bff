"""Intervals over patients, tables of means, paired comparisons and classification scores."""
