"""Data and objective of the diffusion transformer."""
