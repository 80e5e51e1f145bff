"""The CT video tokenizer, and how large volumes pass through it."""
