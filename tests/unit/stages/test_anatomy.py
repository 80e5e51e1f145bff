from dataclasses import replace
from pathlib import Path

import pytest

from medsyn2.ct.anatomy.judgement import NO_ANATOMY
from medsyn2.errors import SystematicError
from medsyn2.stages.anatomy import stop_if_disordered
from medsyn2.store.artefacts import Manifest, Problem, Record, Refusal
from tests.unit.records import inventory_facts

RIGHT = replace(NO_ANATOMY, lung_ml=4000.0, left={"heart": 1.0, "liver": 1.0})
MIRRORED = replace(RIGHT, left={"heart": -1.0, "liver": -1.0}, findings=("mirrored",))
UNCLEAR = replace(RIGHT, left={"heart": 0.1})


def shard(*cases) -> Manifest:
    """A shard of usable cases with such an anatomy, and of cases refused with such a code."""
    records = {
        str(number): Refusal(str(number), "", Problem(case, "", ""))
        if isinstance(case, str)
        else Record(str(number), "", {}, inventory_facts(anatomy=case))
        for number, case in enumerate(cases)
    }
    return Manifest("inventory", Path("0000"), records)


@pytest.mark.parametrize(
    "cases",
    [
        ["upside-down"] * 6,
        ["axes-turned"] * 3 + [RIGHT] * 3,
        [MIRRORED] * 6,
        [replace(RIGHT, left={"heart": -0.1, "liver": -1.0, "aorta": -0.2})] * 6,
        [MIRRORED] * 3 + [UNCLEAR] * 20,
        [replace(RIGHT, findings=("lungs-cut",))] * 6,
        ["chest-repeated"] * 4,
    ],
)
def test_a_cohort_that_lies_otherwise_is_stopped(cases) -> None:
    with pytest.raises(SystematicError) as caught:
        stop_if_disordered([shard(*cases[:2]), shard(*cases[2:])])
    assert caught.value.code == "cohort-disordered"


@pytest.mark.parametrize(
    "cases",
    [
        [],
        [RIGHT] * 6,
        [MIRRORED] * 2,
        [replace(MIRRORED, findings=None)] * 6,
        [MIRRORED] * 3 + [RIGHT] * 4,
        ["upside-down", "back-to-front", "axes-turned", RIGHT],
        ["gzip-truncated"] * 6,
        ["gzip-truncated"] * 20 + [UNCLEAR, NO_ANATOMY],
    ],
)
def test_odd_cases_are_no_odd_cohort(cases) -> None:
    stop_if_disordered([shard(*cases)])
