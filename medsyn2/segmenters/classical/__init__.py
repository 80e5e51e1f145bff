"""Segmentation without learned weights: thresholds, morphology and anatomy."""
