import pytest

from medsyn2.server.problems import Refusal
from medsyn2.server.uploads import suffix_of, title_of


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.nii.gz", ".nii.gz"), ("A.NII", ".nii"), ("x/y.mha", ".mha"), ("s.dcm", ".dcm")]
)
def test_the_suffix_is_one_of_a_list(name, suffix):
    assert suffix_of(name, "mask") == suffix


@pytest.mark.parametrize("name", ["", "a", "a.exe", "a.mhd", "a.nii.gz.sh", "../../.bashrc", "a.npy", "a.pkl", "a.zip"])
def test_other_files_are_refused(name):
    with pytest.raises(Refusal) as caught:
        suffix_of(name, "mask")
    assert caught.value.code == "upload-kind"


@pytest.mark.parametrize(
    ("name", "title"), [("../../etc/ct.nii.gz", "ct"), ("C:\\x\\Meier.zip", "Meier"), (".nii", "upload")]
)
def test_the_title_has_no_folder(name, title):
    assert title_of(name) == title
