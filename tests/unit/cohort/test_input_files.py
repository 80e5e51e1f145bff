"""The files that a configuration names: each is checked, and what is wrong with one is said with its key."""

from pathlib import Path

import pytest

from medsyn2.cohort.input_files import input_files, require_files
from medsyn2.config import Config, load_config, validate_config
from medsyn2.errors import ConfigError

ROOT = Path(__file__).parents[3]


def config(**values: object) -> Config:
    return validate_config(values, source="test")


def test_the_default_names_none_and_phantoms_need_none() -> None:
    assert list(input_files(Config())) == []
    assert list(input_files(config(cohort={"reports_csv": "mine.csv"}))) == []


def test_one_table_or_several_of_each_kind_with_lists_template_and_slices() -> None:
    cohort = {
        "data_dir": "cts",
        "reports_csv": ["train.csv", "valid.csv"],
        "labels_csv": "labels.csv",
        "metadata_csv": None,
        "exclude_txt": ["a.txt", "b.txt"],
        "subjects_csv": "subjects.csv",
    }
    slices = {"public": {"folder": "medseg", "split": "split.json"}, "structure": "ground_glass"}
    found = input_files(config(cohort=cohort, template={"path": "t.nii.gz"}, evaluate_augmentation=slices))
    assert [(file.key, str(file.path)) for file in found] == [
        ("cohort.reports_csv", "train.csv"),
        ("cohort.reports_csv", "valid.csv"),
        ("cohort.labels_csv", "labels.csv"),
        ("cohort.exclude_txt", "a.txt"),
        ("cohort.exclude_txt", "b.txt"),
        ("cohort.subjects_csv", "subjects.csv"),
        ("template.path", "t.nii.gz"),
        ("evaluate_augmentation.public", "medseg/tr_im.nii.gz"),
        ("evaluate_augmentation.public", "medseg/tr_mask.nii.gz"),
        ("evaluate_augmentation.public", "split.json"),
    ]


def test_the_paper_s_configuration_names_ct_rate_s_tables_of_both_splits() -> None:
    found = list(input_files(load_config(ROOT / "configs/paper.yaml")))
    names = {str(file.path).removeprefix("ct-rate/dataset/") for file in found if file.key.startswith("cohort.")}
    assert names == {
        "radiology_text_reports/train_reports.csv",
        "radiology_text_reports/validation_reports.csv",
        "multi_abnormality_labels/train_predicted_labels.csv",
        "multi_abnormality_labels/valid_predicted_labels.csv",
        "metadata/train_metadata.csv",
        "metadata/validation_metadata.csv",
        "metadata/no_chest_train.txt",
        "metadata/no_chest_valid.txt",
    }
    assert sum(file.key == "evaluate_augmentation.public" for file in found) == 3
    assert all(file.remedy for file in found)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "run git lfs pull"),
        (b"<!DOCTYPE html><title>Access is restricted</title>", "accept the terms"),
        (b"<HTML>", "is a web page"),
        (b"VolumeName\n", ""),
        (b"", ""),
    ],
)
def test_a_file_that_is_not_there_or_another_in_its_place_is_named_with_its_key(
    tmp_path: Path, content: bytes | None, problem: str
) -> None:
    path = tmp_path / "reports.csv"
    if content is not None:
        path.write_bytes(content)
    files = list(input_files(config(cohort={"data_dir": "cts", "reports_csv": str(path)})))
    if not problem:
        assert require_files(files) == [str(path)]
        return
    with pytest.raises(ConfigError, match=problem) as caught:
        require_files(files)
    assert caught.value.code == "input-file-missing"
    assert f"cohort.reports_csv names {path}" in caught.value.message
    assert "CT-RATE has a table for each split" in caught.value.remedy


def test_a_folder_is_no_file_and_all_that_is_wrong_is_named_at_once(tmp_path: Path) -> None:
    cohort = {"data_dir": "cts", "reports_csv": str(tmp_path), "exclude_txt": str(tmp_path / "none.txt")}
    with pytest.raises(ConfigError, match="is no file") as caught:
        require_files(input_files(config(cohort=cohort)))
    assert "none.txt, which does not exist" in caught.value.message
    assert "leave the key out to exclude none" in caught.value.remedy
