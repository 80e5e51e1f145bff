"""NIfTI files: strict reading, exact writing."""
