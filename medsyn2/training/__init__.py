"""One training loop, its objectives, checkpoints and the moving average."""
