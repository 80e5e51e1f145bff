"""The training loop: steps, state, checkpoints, devices and processes."""
