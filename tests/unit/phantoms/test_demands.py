"""Reports of phantoms are read back as the lesions that they are of, and a radiologist's as far as they go."""

import pytest

from medsyn2.phantoms import Demand, describe, draw_subject, stream
from medsyn2.phantoms.central import lobar_side
from medsyn2.phantoms.demands import read_demands


@pytest.mark.parametrize("number", range(12))
def test_a_phantom_s_report_says_which_lesions_it_has(number):
    subject = draw_subject(0, number)
    found = read_demands(describe(subject, stream(0, number, "report")).findings)
    lesions = subject.lesions
    nodules = {(one.lobe, round(one.diameter_mm)) for one in lesions.nodules}
    assert {(one.lobe, round(one.size)) for one in found if one.kind == "nodules"} == nodules
    for kind in ("ground_glass", "consolidation"):
        lobes = {one.lobe for one in lesions.opacities_of(kind)}
        assert {one.lobe for one in found if one.kind == kind} == lobes
    assert {one.side for one in found if one.kind == "pleural_effusion"} == {one.side for one in lesions.pleural}
    assert any(one.kind == "pericardial_effusion" for one in found) == (lesions.pericardial is not None)


@pytest.mark.parametrize(
    ("report", "demands"),
    [
        ("Large left pleural effusion.", [Demand("pleural_effusion", "left", None, 1100.0)]),
        ("No pleural effusion. Lungs are clear. [SEP] A nodule.", []),
        ("A 1.5 cm nodule in the right lung.", [Demand("nodules", "right", None, 15.0)]),
        ("Pulmonary nodule in the left lower lobe, 8-mm.", [Demand("nodules", None, 2, 8.0)]),
        (
            "Bilateral pleural effusions, large on the right and small on the left.",
            [Demand("pleural_effusion", "right", None, 1100.0), Demand("pleural_effusion", "left", None, 200.0)],
        ),
        ("Right pleural effusion, estimated at 420 ml.", [Demand("pleural_effusion", "right", None, 420.0)]),
        ("Pericardial effusion of 9 mm.", [Demand("pericardial_effusion", None, None, 9.0)]),
        ("Consolidation.", [Demand("consolidation", None, None, 50.0)]),
    ],
)
def test_a_sentence_says_kind_side_lobe_and_size(report, demands):
    assert sorted(map(repr, read_demands(report))) == sorted(map(repr, demands))


def test_a_lobe_is_of_one_side():
    assert lobar_side(read_demands("A nodule in the right middle lobe.")[0].lobe) == "right"
