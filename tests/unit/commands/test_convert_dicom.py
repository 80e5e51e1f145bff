import numpy as np
import pandas as pd
import pytest

from medsyn2.cli import main
from medsyn2.formats import read_ct
from tests.series import counted, localizer, pack, series_affine, write_series

HU = counted()


@pytest.fixture
def export(tmp_path):
    """One folder with two patients, one of two visits, a localiser and a second, thicker series."""
    folder = tmp_path / "export"
    coarse = series_affine((5.0, 0.7, 0.7))
    for number, (patient, study, hu, affine, change) in enumerate(
        [
            ("A", "1.1", HU, series_affine(), None),
            ("A", "1.1", HU[::2], coarse, None),
            ("A", "1.1", HU[:2], series_affine(), localizer),
            ("A", "1.2", HU + 5, series_affine(), None),
            ("B", "1.3", HU + 9, series_affine(), None),
        ]
    ):
        name = f"{number}_{{}}"
        write_series(
            folder, hu, affine, patient=patient, study=study, series=f"{study}.{number}", change=change, name=name
        )
    return folder


def test_a_mixed_export_becomes_a_volume_of_each_study_with_its_patient(export, tmp_path, capsys):
    assert main(["convert", "dicom", str(export), "--to", str(tmp_path / "out"), "--suffix", ".mha"]) == 0
    assert "3 volumes of 3 studies" in capsys.readouterr().out
    subjects = pd.read_csv(tmp_path / "out/subjects.csv")
    assert sorted(subjects["Subject"].value_counts()) == [1, 2]
    found = sorted(int(read_ct(tmp_path / "out" / name).hu.min()) for name in subjects["VolumeName"])
    assert found == [-1000, -995, -991]
    volumes = pd.read_csv(tmp_path / "out/volumes.csv")
    assert set(volumes["Refusal"].dropna()) == {"dicom-not-slices", "not-chosen"}
    assert "DOE" not in (tmp_path / "out/volumes.csv").read_text("utf-8")


def test_a_packed_export_is_sorted_as_its_folder(export, tmp_path):
    pack(export, tmp_path / "export.tgz")
    for name in ("export", "export.tgz"):
        assert main(["convert", "dicom", str(tmp_path / name), "--to", str(tmp_path / f"{name} out")]) == 0
    found = [(tmp_path / f"{name} out/subjects.csv").read_text("utf-8") for name in ("export", "export.tgz")]
    assert found[0] == found[1]


def test_all_series_may_be_asked_for_and_files_are_not_mixed(export, tmp_path):
    assert main(["convert", "dicom", str(export), "--to", str(tmp_path / "out"), "--series", "all"]) == 0
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) == 4
    assert np.isin([-1000], [int(read_ct(path).hu.min()) for path in (tmp_path / "out").glob("*.nii.gz")]).all()
    assert main(["convert", "dicom", str(export), "--to", str(tmp_path / "out")]) == 2
    assert main(["convert", "dicom", str(tmp_path / "nothing"), "--to", str(tmp_path / "b")]) == 2
