"""The table of external weights."""

import pytest

from medsyn2.config.preparation import TOOL_STRUCTURES
from medsyn2.stages import STAGES
from medsyn2.weights.catalogue import CATALOGUE, find


def test_each_row_says_what_a_user_must_know() -> None:
    for row in CATALOGUE:
        assert row.about
        assert row.licence
        assert row.page.startswith("https://")
        assert set(row.stages) <= set(STAGES)
        assert row.downloads or row.by_hand
        for item in row.downloads:
            assert item.url.startswith("https://")
            assert ".." not in item.path
            assert all(digit in "0123456789abcdef" for digit in item.sha256)


def test_names_and_places_are_unique() -> None:
    assert len({row.name for row in CATALOGUE}) == len(CATALOGUE)
    paths = [item.path for row in CATALOGUE for item in row.downloads]
    assert len(set(paths)) == len(paths)


@pytest.mark.parametrize("tool", ["lungmask", "totalsegmentator", "medpseg"])
def test_every_structure_of_a_tool_has_its_weights(tool: str) -> None:
    covered = {name for row in find([tool]) for name in row.structures}
    assert covered == set(TOOL_STRUCTURES[tool])


def test_a_tool_stands_for_its_rows() -> None:
    assert len(list(find(["totalsegmentator"]))) == 6
    assert [row.name for row in find(["totalsegmentator/Dataset315", "medpseg"])] == [
        "totalsegmentator/Dataset315",
        "medpseg",
    ]
    assert list(find([])) == list(CATALOGUE)
    with pytest.raises(KeyError, match="nothing"):
        list(find(["nothing"]))
