from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from medsyn2.ct.volume import Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import MaskError, ReportError
from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.inputs import check_inputs, encode_given, far_from_expected
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES
from medsyn2.weights.model_folder import TEXT_ENCODER

GRID = Grid((8, 8, 8), axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)))


def check(**given):
    nothing = dict.fromkeys(["report", "findings", "impression", "mask", "mask_text"])
    return check_inputs(**nothing | given, grid=GRID, trained=set(STRUCTURES), separator="[SEP]")


@pytest.fixture
def mask():
    inside = np.zeros(GRID.shape, np.uint8)
    inside[2:5, 2:5, 2:5] = 1
    return LabelMap(inside, GRID.affine_mm)


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return TextEncoder.from_folder(tiny_model / TEXT_ENCODER)


@pytest.mark.parametrize("missing", [np.nan, pd.NA, pd.NaT, float("nan"), np.float64("nan")])
def test_a_missing_value_of_a_table_is_an_empty_report(missing):
    prompt = check(report=missing)
    assert prompt.report is None
    assert "as if none had been given" in prompt.notes[0]


@pytest.mark.parametrize("name", ["report", "findings", "impression", "mask_text"])
def test_a_text_that_is_none_is_refused_by_name(name):
    for wrong in (3, b"nodule", ["nodule"]):
        with pytest.raises(ReportError, match=rf"\[text-type\] {name}: expected text"):
            check(**{name: wrong})


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ("heart.nii.gz", "read_labels(path)"),
        (Path("heart.nii.gz"), "read_labels(path)"),
        (np.zeros((8, 8, 8)), "LabelMap(array, affine_mm)"),
        (torch.zeros(8, 8, 8), "LabelMap(array, affine_mm)"),
        (3, "read_labels(path), or LabelMap(array"),
    ],
)
def test_a_mask_that_is_no_label_map_is_told_how_to_become_one(wrong, remedy):
    with pytest.raises(MaskError, match="mask-type") as caught:
        check(mask=wrong, mask_text="heart")
    assert remedy in str(caught.value)


def test_nothing_is_a_prompt_too():
    prompt = check()
    assert (prompt.report, prompt.mask, prompt.words, prompt.notes) == (None, None, None, ())


@pytest.mark.parametrize("absent", ["", "Not given.", "\n"])
def test_an_absent_report_and_absent_words_are_none(absent, mask):
    assert check(report=absent).report is None
    assert check(findings=absent, impression="Nodule.").report == "Nodule."
    with pytest.raises(MaskError, match="words that say"):
        check(mask=mask, mask_text=absent)


def test_a_report_that_says_nothing_is_noted_and_none_is_not(mask):
    for given in ({"report": ""}, {"findings": "", "impression": None}, {"impression": "Not given."}):
        assert "as if none had been given" in check(**given).notes[0]
        assert "as if none had been given" in check(**given, mask=mask, mask_text="heart").notes[0]
    assert check(findings="", impression="Nodule.").notes == ()
    assert check(mask=mask, mask_text="heart").notes == ()


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure_is_known_by_its_name_and_by_its_words(structure, mask):
    for words in (structure, STRUCTURE_WORDS[structure], STRUCTURE_WORDS[structure].upper()):
        prompt = check(mask=mask, mask_text=words)
        assert prompt.words == STRUCTURE_WORDS[structure]
        assert prompt.notes == ()


def test_the_nearest_known_words_are_named(mask):
    prompt = check(mask=mask, mask_text="ground glass nodule")
    assert prompt.words == "ground glass nodule"
    assert "ground glass opacity" in prompt.notes[0]


def test_an_empty_mask_stays_a_mask(mask):
    prompt = check(mask=LabelMap(np.zeros_like(mask.labels), mask.affine_mm), mask_text="heart")
    assert prompt.mask is not None
    assert not prompt.mask.any()
    assert "not the same as giving no mask" in prompt.notes[0]


def test_a_given_text_comes_at_its_own_length(encoder):
    embeddings, notes = encode_given(encoder, "no image segmentation is provided", 32, "the pre-prompt")
    whole = encoder.encode(["no image segmentation is provided"], 32)
    assert torch.equal(embeddings, whole.embeddings[:, : int(whole.lengths[0])])
    assert notes == ()


def test_cut_and_unknown_text_is_noted_and_text_without_a_known_word_refused(encoder):
    _, notes = encode_given(encoder, "nodule " * 30 + "the end", 10, "the report")
    assert "10 tokens" in notes[0]
    assert "the end" in notes[0]
    _, notes = encode_given(encoder, "nodule 结节 肺", 32, "the report")
    assert "unknown" in notes[0]
    with pytest.raises(ReportError, match="no word"):
        encode_given(encoder, "结节 肺", 32, "the report")
    _, notes = encode_given(encoder, "Her iki akciğerde nodül izlenmedi, kalp boyutları normaldir", 64, "the report")
    assert notes[-1].startswith("the report: ")
    assert notes[-1].endswith("another language?")


def test_mask_latents_that_no_statistics_of_theirs_could_give_are_noted():
    latents = torch.zeros(1, 4, 2, 2, 2)
    latents[0, 3, 1, 1, 1] = -39.9
    assert far_from_expected(latents, "heart") == ()
    latents[0, 3, 0, 0, 0] = -53.0
    (note,) = far_from_expected(latents, "consolidation")
    assert "'consolidation' are up to 53 standard deviations" in note
