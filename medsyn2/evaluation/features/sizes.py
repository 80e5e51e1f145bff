"""The numbers of volumes, slices and features that the protocols and the extractors have.

Here and not beside their code, because the workflow asks for the memory of a job when it is parsed, without NumPy.
"""

CUBE_VOXELS = 512
"""Voxels an axis of the cube that ``maisi`` and ``vlm3d`` cut or pad volumes to; ``paper`` leaves them as they are."""

CENTRAL_SHARE = {"paper": 1.0, "maisi": 0.4, "vlm3d": 1.0}
"""Share of the slices of each plane, about the middle, that a protocol takes."""

MAX_VOLUMES = {"paper": None, "maisi": None, "vlm3d": 100}
"""Volumes that a protocol takes at most, the first by name."""

WEIGHT_FREE_CHANNELS = (16, 32, 64)
"""Random filters of each level."""

WEIGHT_FREE_WIDTH = 2 * (1 + sum(WEIGHT_FREE_CHANNELS))
"""Features of a slice: mean and standard deviation of the image and of each filter."""

RADIMAGENET_WIDTH = 2048
"""Features of a slice."""

WEIGHT_FREE_BATCH, RADIMAGENET_BATCH = 64, 16
"""Slices that go through an extractor at once."""
