"""The networks. Torch alone, so that they run from a bare checkout."""
