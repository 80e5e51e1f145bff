"""The name under which tables and files of a volume meet."""

from itertools import product

import pytest

from medsyn2.vocabulary import CONDITIONS, STRUCTURES, condition_name, volume_key


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


def test_every_combination_of_report_and_mask_has_a_name_of_its_own():
    names = [condition_name(mask, with_report=report) for mask, report in product((None, *STRUCTURES), (True, False))]
    assert sorted(names) == sorted(CONDITIONS)
    assert len(set(CONDITIONS)) == 2 * (len(STRUCTURES) + 1)
    assert condition_name(None, with_report=False) == "neither"
    assert condition_name("heart", with_report=True) == "report_and_heart"
