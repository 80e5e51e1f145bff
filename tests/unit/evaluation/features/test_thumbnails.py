"""Thumbnails keep positions, and are made once a volume."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.thumbnails import read_thumbnail, thumbnail, thumbnail_path, write_thumbnail
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.vocabulary import WINDOWS_HU

LUNG_HU = (-1350.0, 150.0)
AFFINE = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


@pytest.mark.parametrize("shape", [(64, 64, 64), (20, 130, 200)])
def test_distances_of_thumbnails_tell_their_correlation(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    hu = rng.normal(-800, 10, shape)
    hu[: shape[0] // 2, : shape[1] // 2] = 100
    small, other = thumbnail(hu, LUNG_HU), thumbnail(hu[::-1], LUNG_HU)
    assert small.shape == (32**3,)
    assert small @ small == pytest.approx(1.0, rel=1e-5)
    assert np.corrcoef(small, other)[0, 1] < 0.7
    assert 1 - np.sum((small - other) ** 2) / 2 == pytest.approx(np.corrcoef(small, other)[0, 1], abs=1e-5)
    assert not thumbnail(np.full(shape, -800.0), LUNG_HU).any()


def test_a_thumbnail_is_made_once_a_volume(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    hu = np.random.default_rng(3).integers(-1000, 200, (33, 40, 36)).astype(np.int16)
    write_ct(path, CTVolume(hu, AFFINE))
    volume = VolumeFile("a", "patient a", path)
    found = read_thumbnail(volume, tmp_path / "cache")
    np.testing.assert_array_equal(found, thumbnail(hu, WINDOWS_HU["lung"]))
    path.unlink()
    known = VolumeFile("a", "patient a", path, sha256="other")
    write_thumbnail(thumbnail_path(known, tmp_path / "cache"), CTVolume(hu[::-1], AFFINE))
    assert not np.array_equal(read_thumbnail(known, tmp_path / "cache"), found)
