"""Feature extractors, the protocols that prepare volumes for them, and banks of features."""
