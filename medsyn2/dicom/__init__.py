"""DICOM: series of CT slices in, CT series and segmentations out."""
