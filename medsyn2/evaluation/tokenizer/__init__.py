"""How well does the tokenizer reconstruct volumes?"""
