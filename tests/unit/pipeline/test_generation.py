import pytest
import torch

from medsyn2.nn.text_encoder import TextEncoder
from medsyn2.pipeline.generation import ABSENT, Texts, structure_of
from medsyn2.reports.prompts import absent_prompt, mask_prompt
from medsyn2.vocabulary import STRUCTURE_WORDS
from medsyn2.weights.model_folder import TEXT_ENCODER, TextDescription

REPORT = "A nodule of 5 mm in the right upper lobe."


@pytest.fixture(scope="module")
def encoder(tiny_model):
    return TextEncoder.from_folder(tiny_model / TEXT_ENCODER)


def test_words_are_encoded_as_they_are(encoder):
    texts = Texts(encoder, TextDescription(16, 48, 32), {})
    for words, sentence in ((None, absent_prompt()), ("heart", mask_prompt("heart"))):
        encoded = encoder.encode([sentence], 32)
        assert torch.equal(texts.prompt(words)[0], encoded.embeddings[:, : int(encoded.lengths[0])])
    length = int(encoder.encode([REPORT], 48).lengths[0])
    assert texts.report(REPORT)[0].shape == (1, length, 16)


def test_padding_is_handed_on_where_the_model_was_trained_with_it(encoder):
    texts = Texts(encoder, TextDescription(16, 48, 32, padded=True), {})
    report, notes = texts.report(REPORT)
    assert notes == ()
    assert torch.equal(report, encoder.encode_padded([REPORT], 48).embeddings)
    assert report[:, -1].abs().sum() > 0
    assert texts.prompt(None)[0].shape == (1, 32, 16)


def test_prompts_that_a_model_brings_stand_for_their_structures_alone(encoder):
    prompts = {ABSENT: torch.full((32, 16), 0.5), "heart": torch.full((32, 16), 2.0)}
    texts = Texts(encoder, TextDescription(16, 48, 32, padded=True), prompts)
    assert torch.equal(texts.prompt(None)[0], prompts[ABSENT][None])
    assert torch.equal(texts.prompt("heart")[0], prompts["heart"][None])
    for words in ("lung nodules", "heart valves"):
        expected = encoder.encode_padded([mask_prompt(words)], 32).embeddings
        assert torch.equal(texts.prompt(words)[0], expected)


def test_what_a_report_is_too_long_by_is_counted_in_a_note(encoder):
    for padded, kept in ((False, 6), (True, 7)):
        texts = Texts(encoder, TextDescription(16, 8, 8, padded=padded), {})
        _, notes = texts.report("lobe . " * 10)
        assert len(notes) == 1
        assert f"left out {20 - kept}: '" in notes[0]


def test_a_structure_is_known_by_its_words():
    assert all(structure_of(words) == name for name, words in STRUCTURE_WORDS.items())
    assert structure_of("heart valves") is None
