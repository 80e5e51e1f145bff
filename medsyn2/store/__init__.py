"""Artefacts of a run on disk: written atomically, recorded with checksums, read back."""
