"""Volumes of rows: the same mask for every seed, failures that end no run, and volumes that are kept."""

from dataclasses import replace

import pytest

from medsyn2.errors import ConfigError
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.many import is_kept, make_volumes
from medsyn2.pipeline.request_table import Row, Volume

SAMPLING = Sampling("euler", 1)


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return MedSyn2Pipeline.from_pretrained(tiny_model)


def test_a_row_that_fails_ends_no_run(pipeline, tmp_path):
    bad, good = Row(2, "bad", None, None, "heart", 0), Row(3, "good", None, None, None, 2**63 - 1)
    volumes = [Volume(bad, "bad", 0), Volume(good, "good_0", 2**63 - 1), Volume(good, "good_1", 2**63)]
    outcomes = list(make_volumes(pipeline, volumes, tmp_path, sampling=SAMPLING))
    assert [one.failure and one.failure.code for one in outcomes] == ["words-without-mask", None, "seed-invalid"]
    assert outcomes[1].made.recipe.seed == 2**63 - 1


def test_a_volume_of_this_request_is_kept_whatever_the_arithmetic(pipeline, tmp_path):
    path, recipe = tmp_path / "a.nii.gz", pipeline.recipe("A nodule.", sampling=SAMPLING)
    model = pipeline.description.fingerprint
    assert not is_kept(path, recipe, model)
    pipeline.follow(recipe).save(path)
    assert is_kept(path, recipe, model)
    assert is_kept(path, replace(recipe, precision="bf16"), model)
    for other, by in ((replace(recipe, seed=1), model), (recipe, "another"), (replace(recipe, report="None."), model)):
        with pytest.raises(ConfigError, match="output-of-another-request"):
            is_kept(path, other, by)
