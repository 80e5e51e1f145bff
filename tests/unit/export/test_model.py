"""A model's folder for a hub: whole, usable, with the figures of its own run."""

import shutil

import pytest

from medsyn2.errors import ConfigError
from medsyn2.export.model import export_model_folder, read_figures
from medsyn2.weights.model_folder import CARD, read_description

HU = "region,source,real_median_hu,synthetic_median_hu,difference_hu,num_patients\n"


@pytest.fixture
def results(tiny_model, tmp_path):
    folder = tmp_path / "results"
    shutil.copytree(tiny_model, folder / "train_dit/model")
    (folder / "hu.csv").write_text(HU + "heart,,41.6,,,0\nlungs,a|b,-821.13,-812.8,8.3,10\n", encoding="utf-8")
    return folder


def test_the_copy_is_the_model_and_its_card_has_the_figures(tiny_model, results, tmp_path):
    described = export_model_folder(tiny_model, tmp_path / "hub", results)
    assert read_description(tmp_path / "hub") == described
    card = (tmp_path / "hub" / CARD).read_text("utf-8")
    assert "| lungs | a/b | -821.1 | -812.8 | 8.3 | 10 |" in card
    assert "| heart |" not in card.partition("## Figures")[2]  # it was not measured
    assert "FID" not in card


def test_without_results_there_are_no_figures(tiny_model, tmp_path):
    export_model_folder(tiny_model, tmp_path / "hub", None)
    assert "Nothing was measured" in (tmp_path / "hub" / CARD).read_text("utf-8")
    with pytest.raises(ConfigError) as caught:
        export_model_folder(tiny_model, tmp_path / "hub", None)
    assert caught.value.code == "output-taken"


def test_figures_of_another_model_are_refused(results, other_tiny_model):
    with pytest.raises(ConfigError) as caught:
        list(read_figures(results, read_description(other_tiny_model).fingerprint))
    assert caught.value.code == "results-of-another-model"
    shutil.rmtree(results / "train_dit")
    with pytest.raises(ConfigError):
        list(read_figures(results, "ff"))
