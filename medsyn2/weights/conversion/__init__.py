"""Conversion of foreign checkpoints to the names and files of this project.

Only this package opens pickles, with ``weights_only=True``: an archive that contains code is refused.
``checkpoints.py`` opens files and unwraps containers; a module per network detects the layout and builds the network
strictly.
"""
