"""The card states what the description knows, and no figure that was not measured."""

from dataclasses import replace

import pytest
from huggingface_hub import ModelCard

from medsyn2.weights.model_card import model_card, write_card
from medsyn2.weights.model_folder import CARD, read_description


@pytest.fixture
def description(tiny_model):
    return read_description(tiny_model)


def test_it_has_the_header_of_the_hub(description):
    data = ModelCard(model_card(description)).data.to_dict()
    assert (data["license"], data["library_name"]) == ("other", "medsyn2")


def test_it_states_data_grid_licence_and_limits(description):
    text = model_card(replace(description, licence="CC BY-NC-SA 4.0"))
    for part in (
        "16 x 32 x 32",
        "4 x 3 x 3",
        "-1024 to 1024",
        "2 CTs, 1 of them",
        "| heart | 2 |",
        "BY-NC-SA",
        "a test",
    ):
        assert part in text
    assert "not for diagnosis" in text
    assert description.fingerprint in text


def test_figures_are_there_where_they_were_measured(description):
    assert "Nothing was measured" in model_card(description)
    measured = model_card(description, ["### Dice\n\n0.9"])
    assert "### Dice\n\n0.9" in measured
    assert "Nothing was measured" not in measured


def test_numbers_that_nobody_knows_are_unknown(description):
    training = replace(description.training, num_cases=None, structures={"heart": None}, cases_sha256=None)
    text = model_card(replace(description, training=training))
    assert "an unknown number of CTs" in text
    assert "identified by the hash" not in text


def test_a_changed_card_leaves_the_model_as_it_is(other_tiny_model, tmp_path):
    before = read_description(other_tiny_model)
    write_card(other_tiny_model, before)
    (other_tiny_model / CARD).write_text("mine", encoding="utf-8")
    assert read_description(other_tiny_model) == before
