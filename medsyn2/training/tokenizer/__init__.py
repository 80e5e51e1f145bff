"""Data and objective of the tokenizer."""
