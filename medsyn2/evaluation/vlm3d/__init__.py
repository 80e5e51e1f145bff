"""The numbers of the VLM3D challenge's board, computed as its program does, to be read beside this project's own."""
