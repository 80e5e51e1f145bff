import shutil

import numpy as np
import pytest

from medsyn2.errors import WeightsError
from medsyn2.server.model_facts import read_facts
from medsyn2.weights.model_folder import read_description


def test_they_are_those_of_the_description(tiny_model):
    facts, described = read_facts(tiny_model), read_description(tiny_model)
    assert facts.sampling == described.sampling
    assert facts.shown["fingerprint"] == described.fingerprint
    assert facts.shown["max_report_tokens"] == described.text.max_report_tokens
    np.testing.assert_array_equal(facts.grid.affine_mm, np.array(described.grid.affine_mm))
    assert (facts.grid.shape, facts.has_template) == (described.grid.shape, False)


@pytest.mark.parametrize(
    ("content", "code"), [(None, "model-missing"), ("{}", "model-unreadable"), ("x", "model-unreadable")]
)
def test_another_folder_is_named(tiny_model, tmp_path, content, code):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "model.json").unlink()
    if content is not None:
        (folder / "model.json").write_text(content, encoding="utf-8")
    with pytest.raises(WeightsError) as caught:
        read_facts(folder)
    assert caught.value.code == code
