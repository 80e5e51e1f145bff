"""A file of a volume, with a stated spacing and a hash that a record knows."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import IntegrityError
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.files import sha256_of


def test_stated_spacing_and_known_hash_take_the_place_of_the_file_s(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(np.full((3, 4, 5), -500, np.int16), np.diag([2.0, 2.0, 2.0, 1.0])))
    plain = VolumeFile("a", "patient a", path)
    assert plain.read().spacing_mm == (2.0, 2.0, 2.0)
    assert plain.digest() == sha256_of(path)
    stated = VolumeFile("a", "patient a", path, (0.7, 0.8, 0.9), sha256=plain.digest())
    np.testing.assert_allclose(stated.read().spacing_mm, (0.7, 0.8, 0.9))
    assert stated.digest() == plain.digest()
    assert plain == VolumeFile("a", "patient a", path, sha256="known")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_two_volumes_of_one_header_are_told_apart(tmp_path: Path, suffix: str) -> None:
    digests = []
    for value in (0, 7, 7):
        place = tmp_path / str(len(digests)) / f"ct{suffix}"
        place.parent.mkdir()
        sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 4, 5), value, np.int16)), str(place))
        digests.append(VolumeFile("ct", "ct", place).digest())
    assert digests[0] != digests[1] == digests[2]


def test_a_file_that_is_not_the_recorded_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "0000" / "a" / "ct.nii.gz"
    path.parent.mkdir(parents=True)
    write_ct(path, CTVolume(np.full((3, 4, 5), -500, np.int16), np.eye(4)))
    recorded = VolumeFile("a", "patient a", path, sha256=sha256_of(path))
    write_ct(path, CTVolume(np.full((3, 4, 5), -501, np.int16), np.eye(4)))
    with pytest.raises(IntegrityError, match=r"artefact-damaged.*0000\.json"):
        recorded.read()
