"""A scan that is in both splits under two names is named, and the search goes on without it."""

import logging
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.memorisation.near_duplicates import drop_duplicates

AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))


def volume(folder: Path, name: str, seed: int, noise_hu: float = 0.0) -> VolumeFile:
    """Write a volume of smooth values of its own."""
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.normal(-500, 300, (4, 4, 4)), np.ones((10, 10, 10)))
    hu = coarse + np.random.default_rng(99).normal(0, 1, coarse.shape) * noise_hu
    path = folder / f"{name}.nii.gz"
    write_ct(path, CTVolume(hu.clip(-1024, 1024).astype(np.int16), AFFINE))
    return VolumeFile(name, name, path)


def test_another_reconstruction_of_a_training_scan_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train = [volume(tmp_path, f"t{index}", index) for index in range(6)]
    held_out = [volume(tmp_path, f"h{index}", 10 + index) for index in range(3)]
    again = volume(tmp_path, "again", 2, noise_hu=40.0)
    with caplog.at_level(logging.WARNING):
        assert drop_duplicates(train, [*held_out, again], tmp_path / "cache") == held_out
    assert "again is nearly the training volume t2" in caplog.text
    with pytest.raises(EnvironmentFault, match="held-out-duplicates"):
        drop_duplicates(train, [held_out[0], again], tmp_path / "cache")
