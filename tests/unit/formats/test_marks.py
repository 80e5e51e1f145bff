import pytest

from medsyn2.ct.volume import CTVolume
from medsyn2.formats import write_ct
from medsyn2.formats.marks import header_mark
from tests.series import counted, series_affine, write_series


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_the_words_of_each_header_are_found(tmp_path, suffix):
    volume = CTVolume(counted(), series_affine())
    write_ct(tmp_path / f"a{suffix}", volume, description="SYNTHETIC medsyn2 seed=1")
    assert header_mark((tmp_path / f"a{suffix}").read_bytes()) == "SYNTHETIC medsyn2 seed=1"


def test_the_attribute_of_dicom_is_found(tmp_path):
    write_series(tmp_path, only=[0], change=lambda dataset, index: setattr(dataset, "SyntheticData", "YES"))
    write_series(tmp_path, only=[1])
    assert header_mark((tmp_path / "0000.dcm").read_bytes()) == "SyntheticData YES"
    assert header_mark((tmp_path / "0001.dcm").read_bytes()) == ""
