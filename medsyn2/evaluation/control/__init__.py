"""What do seeds, edits, attention and variants of the model change?"""
