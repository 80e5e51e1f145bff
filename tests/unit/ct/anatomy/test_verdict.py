from dataclasses import replace

import pytest

from medsyn2.ct.anatomy.judgement import NO_ANATOMY
from medsyn2.ct.anatomy.verdict import common_findings, verdict_of

RIGHT = replace(NO_ANATOMY, lung_ml=4000.0, left={"heart": 1.0, "liver": 1.0})
DOWN = replace(RIGHT, findings=("upside-down",))
LEANING = replace(RIGHT, left={"heart": -1.0, "liver": -0.2})


def test_a_ct_tells_what_it_shows() -> None:
    assert verdict_of(NO_ANATOMY) == verdict_of(replace(DOWN, findings=None)) == {}
    assert verdict_of(DOWN)["upside-down"]
    assert verdict_of(RIGHT)["mirrored"] is False
    assert verdict_of(LEANING)["mirrored"]
    assert "mirrored" not in verdict_of(replace(RIGHT, left={"heart": 0.1}))


@pytest.mark.parametrize(
    ("anatomies", "common"),
    [
        ([DOWN] * 3 + [RIGHT] * 3, {"upside-down": (3, 6)}),
        ([DOWN] * 3 + [NO_ANATOMY] * 9, {"upside-down": (3, 3)}),
        ([DOWN] * 3 + [RIGHT] * 4, {}),
        ([DOWN] * 2, {}),
        ([], {}),
    ],
)
def test_a_finding_of_three_and_of_half_of_those_that_tell_is_the_set_s(anatomies, common) -> None:
    assert common_findings([verdict_of(anatomy) for anatomy in anatomies]) == common
