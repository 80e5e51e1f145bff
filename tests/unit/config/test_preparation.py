from pathlib import Path

import pytest
from pydantic import ValidationError

from medsyn2.config import Config, SegmentConfig, validate_config
from medsyn2.errors import ConfigError
from medsyn2.vocabulary import STRUCTURES


def test_every_structure_has_the_weight_free_segmenter_unless_another_is_named() -> None:
    assert SegmentConfig().tools == dict.fromkeys(STRUCTURES, "classical")


def test_a_tool_is_refused_for_what_it_does_not_find_and_those_that_do_are_named() -> None:
    with pytest.raises(ValidationError, match=r"lungmask finds no heart; .*totalsegmentator"):
        SegmentConfig(tools={"heart": "lungmask"})


def test_a_structure_can_be_left_out() -> None:
    assert SegmentConfig(tools={"lobes": "lungmask", "heart": None}).tools["heart"] is None


@pytest.mark.parametrize(
    "pattern", [None, "masks/{case}.nii.gz", "masks/{structure}.nii.gz", "{case}/{structure}/{side}", "{case", "}"]
)
def test_the_pattern_of_mask_files_tells_cases_and_structures_apart(pattern: str | None) -> None:
    with pytest.raises(ValidationError, match=r"segment\.mask_files must be a pattern"):
        SegmentConfig(tools={"heart": "files"}, mask_files=pattern)
    assert SegmentConfig(tools={"heart": "classical"}, mask_files=pattern).mask_files == pattern


def test_mask_files_and_published_masks_are_taken_where_they_are_said_to_be() -> None:
    pattern = "masks/{case}/{structure}.nii.gz"
    assert SegmentConfig(tools={"heart": "files"}, mask_files=pattern).mask_files == pattern
    with pytest.raises(ValidationError, match=r"segment\.ct_rate_masks"):
        SegmentConfig(tools={"heart": "ct_rate"})


def load(values: dict[str, object]) -> Config:
    """Validate a configuration."""
    return validate_config(values, source="test")


def test_empty_paths_are_none_and_the_home_folder_is_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    given = {
        "data_dir": "",
        "reports_csv": "",
        "labels_csv": ["~/l.csv", ""],
        "subjects_csv": " ",
        "exclude_dirs": "seg/",
    }
    cohort = load({"cohort": given}).cohort
    assert (cohort.data_dir, cohort.reports_csv, cohort.subjects_csv) == (None, (), None)
    assert (cohort.labels_csv, cohort.exclude_dirs) == ((Path("/home/somebody/l.csv"),), ("seg",))
    found = load(
        {
            "cohort": {"data_dir": "~/cts", "exclude_dirs": None},
            "template": {"path": ""},
            "segment": {
                "weights_dir": "~",
                "python": {"lungmask": "~/bin/python"},
                "mask_files": "~/{case}/{structure}.nii",
            },
            "encode_text": {"encoder_dir": ""},
            "evaluate_fid": {"radimagenet": "", "baselines": {"theirs": {"folder": "~/theirs", "patients": ""}}},
        }
    )
    assert (found.cohort.data_dir, found.cohort.exclude_dirs) == (Path("/home/somebody/cts"), ())
    assert (found.template.path, found.encode_text.encoder_dir, found.evaluate_fid.radimagenet) == (None, None, None)
    assert found.segment.weights_dir == Path("/home/somebody")
    assert found.segment.mask_files == "/home/somebody/{case}/{structure}.nii"
    assert found.segment.python["lungmask"] == Path("/home/somebody/bin/python")
    assert found.evaluate_fid.baselines["theirs"].folder == Path("/home/somebody/theirs")
    assert load({"cohort": {"data_dir": "."}}).cohort.data_dir == Path()
    with pytest.raises(ConfigError, match=r"evaluate_fid\.baselines\.theirs\.folder"):
        load({"evaluate_fid": {"baselines": {"theirs": {"folder": ""}}}})
