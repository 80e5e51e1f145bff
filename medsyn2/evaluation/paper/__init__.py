"""The paper's printed tables."""
