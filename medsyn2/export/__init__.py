"""Volumes and models for other programs: data sets for nnU-Net and MONAI, names and colours of labels, cards."""
