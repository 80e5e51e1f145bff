"""What is measured of volumes and masks."""
