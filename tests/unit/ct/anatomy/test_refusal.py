from dataclasses import replace

import pytest

from medsyn2.ct.anatomy.evidence import BACK, LEFT, UP
from medsyn2.ct.anatomy.judgement import NO_ANATOMY
from medsyn2.ct.anatomy.refusal import AGAINST, describe, refuse_disorder, warn
from medsyn2.errors import GeometryError, InvalidVolumeError

TURNED_ROUND = replace(
    NO_ANATOMY,
    up={"domes": 1.0},
    back={"spine": -1.0, "ribs": -0.8, "recess": 0.2},
    left={"heart": -0.9, "liver": -1.0},
    findings=("back-to-front", "mirrored"),
)


def test_every_piece_of_evidence_has_its_words() -> None:
    assert {kind: set(words) for kind, words in AGAINST.items()} == {
        "up": set(UP),
        "back": set(BACK),
        "left": set(LEFT),
    }


def test_the_words_name_the_directions_and_the_evidence_against_them() -> None:
    words = describe(TURNED_ROUND)
    assert "front and back exchanged (the spine runs in front of the lungs' middle -1.0" in words
    assert "left and right exchanged" in words
    assert "up and down" not in words
    assert "the lungs reach lower" not in words


@pytest.mark.parametrize("finding", ["axes-turned", "upside-down", "back-to-front"])
def test_a_clear_contradiction_is_refused_under_its_name(finding) -> None:
    with pytest.raises(GeometryError) as caught:
        refuse_disorder(replace(NO_ANATOMY, findings=(finding,)), "a.nii.gz")
    assert caught.value.code == finding
    assert "inventory.orientation: trust" in caught.value.remedy


def test_two_chests_in_a_file_are_refused() -> None:
    with pytest.raises(InvalidVolumeError) as caught:
        refuse_disorder(replace(NO_ANATOMY, findings=("chest-repeated",)), "a.nii.gz")
    assert caught.value.code == "chest-repeated"


@pytest.mark.parametrize("finding", ["mirrored", "lungs-cut", "one-lung"])
def test_a_patient_may_be_built_so(finding) -> None:
    facts = replace(NO_ANATOMY, findings=(finding,), cut=(0.8, 0.0), left_share=0.02, left={"heart": -1.0})
    refuse_disorder(facts, "a.nii.gz")
    assert len(warn(facts)) == 1


def test_a_sound_chest_has_no_warning() -> None:
    refuse_disorder(NO_ANATOMY, "a.nii.gz")
    assert warn(NO_ANATOMY) == []
