"""Foreign checkpoints, read once and brought to the names and files of this project.

The only package that opens pickles, and it opens them with ``weights_only=True``: an archive that wants to
run code is refused, not trusted. ``checkpoints.py`` opens files and takes containers apart; one module for
each network says which layout its tensors are, and builds the network they fill, strictly.
"""
