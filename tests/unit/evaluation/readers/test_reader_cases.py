"""What a study shows is drawn by contents, and balanced; what it is compared with is read or refused."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import EnvironmentFault, MaskError
from medsyn2.evaluation.features.extraction import VolumeFile
from medsyn2.evaluation.readers.reader_cases import StudyVolume, choose_volumes, mask_of, volumes_by_finding


def volume(source: str, pathology: str, index: int) -> StudyVolume:
    name = f"{pathology}/{index}"
    digest = f"{pathology}{index}{source}"
    return StudyVolume(source, VolumeFile(name, name, Path(f"{name}.nii.gz")), digest, pathology)


def test_as_many_real_as_synthetic_of_each_finding() -> None:
    volumes = [volume("real", "a", i) for i in range(5)] + [volume("synthetic", "a", i) for i in range(3)]
    drawn = choose_volumes(volumes, 4, seed=0)
    assert [one.source for one in drawn] == ["real"] * 3 + ["synthetic"] * 3
    assert drawn == choose_volumes(volumes[::-1], 4, seed=0)
    many = [volume(source, "a", i) for i in range(40) for source in ("real", "synthetic")]
    assert choose_volumes(many, 5, seed=0) != choose_volumes(many, 5, seed=1)


def test_a_finding_of_one_kind_is_refused() -> None:
    with pytest.raises(EnvironmentFault, match="1 real and 0 synthetic volumes of b"):
        choose_volumes([volume("real", "a", 0), volume("synthetic", "a", 0), volume("real", "b", 0)], 4, seed=0)


def test_findings_are_folders(tmp_path: Path) -> None:
    ct = CTVolume(np.zeros((4, 4, 4), np.int16), np.eye(4)[[2, 1, 0, 3]])
    for name in ("ground_glass/a", "ground_glass/deeper/b"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_ct(tmp_path / f"{name}.nii.gz", ct)
    found = volumes_by_finding(tmp_path, "real", None)
    assert [(one.pathology, one.name) for one in found] == [
        ("ground glass", "real/ground_glass/a"),
        ("ground glass", "real/ground_glass/deeper/b"),
    ]
    write_ct(tmp_path / "c.nii.gz", ct)
    with pytest.raises(EnvironmentFault, match="no folder that names its finding"):
        volumes_by_finding(tmp_path, "real", None)


def test_a_mask_lies_where_its_volume_is_stated_to_be(tmp_path: Path) -> None:
    one = StudyVolume("real", VolumeFile("a/1", "1", tmp_path / "1.nii.gz"), "0", "a", mask=tmp_path / "mask.nii.gz")
    affine = np.diag([2.0, 2.0, 2.0, 1.0])[[2, 1, 0, 3]]
    with pytest.raises(MaskError, match="cannot be read"):
        mask_of(one, Grid((3, 4, 5), affine))
    write_labels(tmp_path / "mask.nii.gz", LabelMap(np.ones((3, 4, 5), np.uint8), np.eye(4)[[2, 1, 0, 3]]))
    read = mask_of(one, Grid((3, 4, 5), affine))
    assert read is not None
    np.testing.assert_array_equal(read.affine_mm, affine)
    with pytest.raises(MaskError, match="voxels"):
        mask_of(one, Grid((3, 4, 6), affine))
