"""Effects of seeds, edits, attention and variants of the model."""
