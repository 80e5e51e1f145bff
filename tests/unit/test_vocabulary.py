"""The name under which tables and files of a volume meet."""

import pytest

from medsyn2.vocabulary import volume_key


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("train_1_a_1.nii.gz", "train_1_a_1"),
        ("train_1_a_1", "train_1_a_1"),
        (" dataset/train/train_1_a_1.NII.GZ", "train_1_a_1"),
        ("data\\ct.nii", "ct"),
        ("1.3.6.1.nii.gz", "1.3.6.1"),
        ("gu\u0308n.nii.gz", "g\u00fcn"),
    ],
)
def test_rows_and_files_meet_under_one_key(name, key):
    assert volume_key(name) == key
