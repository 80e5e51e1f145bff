import pytest
from pydantic import ValidationError

from medsyn2.config import SegmentConfig
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
