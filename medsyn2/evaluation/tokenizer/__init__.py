"""What survives the tokenizer?"""
