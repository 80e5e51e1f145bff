"""Volumes of a set that lie otherwise than their headers say, or are not whole, are told by name."""

from dataclasses import replace

import numpy as np
import pytest

from medsyn2.ct.anatomy.judgement import NO_ANATOMY
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.features.anatomy import describe_set, look_at
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.subject import draw_subject

RIGHT = replace(NO_ANATOMY, lung_ml=4000.0)
DOWN = replace(RIGHT, findings=("upside-down",))


@pytest.fixture(scope="module")
def chest() -> CTVolume:
    subject = draw_subject(0, 2)
    volume = scan(subject, draw_acquisition(subject, 5.0)).volume
    return CTVolume(volume.hu.clip(-1024), volume.affine_mm)


def changed(chest: CTVolume, hu: np.ndarray) -> CTVolume:
    return CTVolume(np.ascontiguousarray(hu), chest.affine_mm)


def test_a_sound_chest_and_a_block_without_lungs_have_nothing_to_tell(chest: CTVolume) -> None:
    anatomy, notes = look_at(chest)
    assert (anatomy.findings, notes) == ((), [])
    assert look_at(changed(chest, np.full((20, 30, 30), 40, np.int16)))[0] == NO_ANATOMY


def test_how_a_chest_lies_and_which_slices_it_lacks_is_seen(chest: CTVolume) -> None:
    assert look_at(changed(chest, chest.hu[::-1]))[0].findings == ("upside-down",)
    blank = chest.hu.copy()
    blank[20:24] = -1024
    assert look_at(changed(chest, blank))[1] == ["slices hold no image"]
    by_name = sorted(range(len(chest.hu)), key=str)
    assert "the slices are not in the order of the body" in look_at(changed(chest, chest.hu[by_name]))[1]


def test_a_finding_of_most_is_the_set_s_and_one_of_a_few_is_told_with_their_names() -> None:
    assert list(describe_set({"a": RIGHT, "b": NO_ANATOMY})) == []
    assert list(describe_set({"a": RIGHT, "b": DOWN})) == ["1 volumes: b lie upside down"]
    (text,) = describe_set(dict.fromkeys("abcd", DOWN))
    assert text.startswith("4 of 4 volumes, such as a, lie upside down")
