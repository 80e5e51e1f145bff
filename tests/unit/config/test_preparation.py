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
