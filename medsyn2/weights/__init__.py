"""Foreign and own weights: the catalogue, the download, the conversion, and the folder of a trained model."""
