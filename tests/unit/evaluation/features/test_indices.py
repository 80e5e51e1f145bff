"""Each index moves with its own fault, keeps still under what is no fault, and is measured once a volume."""

from math import isnan
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.indices import INDICES, index_path, read_indices, volume_indices
from medsyn2.evaluation.features.protocols import make_protocol
from medsyn2.evaluation.features.volume_file import VolumeFile

SHAPE = (64, 64, 64)
PROTOCOL = make_protocol("paper", clip_hu=(-1024.0, 1024.0))
RNG = np.random.default_rng(0)
STRIPES = 1 - 2 * (np.arange(64) % 2)


def repeat(values: np.ndarray, voxels: int) -> np.ndarray:
    for axis in range(values.ndim):
        values = np.repeat(values, voxels, axis)
    return values


@pytest.fixture(scope="module")
def chest() -> np.ndarray:
    """Smooth tissue with noise of a kernel, as reconstructions have it, and a bar of bone."""
    rng = np.random.default_rng(1)
    tissue = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 4)
    noise = ndimage.gaussian_filter(rng.normal(0, 1, SHAPE), 0.6)
    hu = 40 + 30 * tissue / tissue.std() + 10 * noise / noise.std()
    hu[:, 28:34, 28:34] = 400 + hu[:, 28:34, 28:34]
    return hu.astype(np.float32)


FAULTS = {
    "flicker": ("jump_hu", lambda hu: hu + RNG.normal(0, 5, (64, 1, 1)), 2.0),
    "shuffled slices": ("z_gradient_ratio", lambda hu: hu[RNG.permutation(64)], 1.5),
    "checkerboard": ("nyquist_hu", lambda hu: hu + 5 * STRIPES * STRIPES[:, None] * STRIPES[:, None, None], 5.0),
    "stripes along one axis": ("nyquist_hu", lambda hu: hu + 5 * STRIPES[:, None], 5.0),
    "seams every 8 voxels": ("seams", lambda hu: hu + repeat(RNG.normal(0, 10, (8, 8, 8)), 8), 1.07),
    "mosaic": ("seams", lambda hu: repeat(hu[::4, ::4, ::4], 4), 2.0),
    "noise": ("roughness", lambda hu: hu + RNG.normal(0, 30, SHAPE), 1.15),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_raises_its_index(chest: np.ndarray, fault: str) -> None:
    index, make, factor = FAULTS[fault]
    assert volume_indices(make(chest))[index] > factor * volume_indices(chest)[index]


def test_blur_and_missing_bones_lower_theirs(chest: np.ndarray) -> None:
    clean, blurred = volume_indices(chest), volume_indices(ndimage.gaussian_filter(chest, 1))
    assert blurred["sharpness_hu"] < 0.5 * clean["sharpness_hu"]
    assert blurred["roughness"] < 0.8 * clean["roughness"]
    assert clean["bone_percent"] == pytest.approx(100 * 36 / 32**2, rel=0.05)
    assert volume_indices(np.minimum(chest, 150))["bone_percent"] == 0


def test_a_ramp_is_no_pattern_and_a_shift_changes_nothing_but_bone(chest: np.ndarray) -> None:
    ramp = chest + 3.0 * np.arange(64)[:, None]
    assert volume_indices(ramp)["nyquist_hu"] == pytest.approx(volume_indices(chest)["nyquist_hu"], abs=0.01)
    clean, shifted = volume_indices(chest), volume_indices(chest + 50)
    for index in set(INDICES) - {"bone_percent"}:
        assert shifted[index] == pytest.approx(clean[index], rel=1e-3), index


def test_slices_of_nothing_do_not_count(chest: np.ndarray) -> None:
    padded = np.concatenate([np.full((9, 64, 64), -1024, np.float32), chest, np.full((5, 64, 64), -1024, np.float32)])
    assert volume_indices(padded) == volume_indices(chest)


@pytest.mark.parametrize("hu", [np.zeros((3, 20, 20)), np.full((20, 20, 20), -1000.0)])
def test_nothing_is_said_of_what_is_too_small_or_constant(hu: np.ndarray) -> None:
    assert all(isnan(value) for value in volume_indices(hu).values())


def test_indices_are_measured_once_in_the_range_that_volumes_are_compared_in(tmp_path: Path, chest: np.ndarray) -> None:
    path, cache = tmp_path / "ct.nii.gz", tmp_path / "cache"
    hu = np.rint(chest).astype(np.int16)
    write_ct(path, CTVolume(hu, axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))))
    volume = VolumeFile("a", "patient a", path, sha256=None)
    found = read_indices(volume, PROTOCOL, cache)
    assert found == volume_indices(hu)
    low = make_protocol("paper", clip_hu=(-1024.0, 150.0))
    assert read_indices(volume, low, cache)["bone_percent"] == 0
    known = VolumeFile("a", "patient a", path, sha256=volume.digest())
    assert index_path(known, PROTOCOL, cache) == index_path(volume, PROTOCOL, cache)
