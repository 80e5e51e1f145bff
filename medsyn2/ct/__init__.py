"""CT volumes: files, geometry, intensity, registration, lungs. Knows nothing of torch."""
