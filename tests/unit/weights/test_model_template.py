"""The template in a model's folder."""

from dataclasses import replace

import numpy as np

from medsyn2.config import RegisterConfig
from medsyn2.ct.lungs import LUNG_NAMES
from medsyn2.ct.registration.affine import ChestCT
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.weights.model_folder import hash_files, read_description, write_description
from medsyn2.weights.model_template import read_reference, write_reference
from tests.unit.conftest import write_tiny_model

AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (-10.0, -20.0, 5.0))


def test_the_template_comes_back_with_its_settings_and_goes_with_a_saved_model(tiny_model, tmp_path):
    assert read_reference(tiny_model, read_description(tiny_model)) is None
    folder = write_tiny_model(tmp_path / "model")
    rng = np.random.default_rng(0)
    volume = CTVolume(rng.integers(-1000, 1000, (6, 7, 8)).astype(np.int16), AFFINE)
    lungs = LabelMap(rng.integers(0, 3, (6, 7, 8)).astype(np.uint8), AFFINE, LUNG_NAMES)
    write_reference(folder, ChestCT(volume, lungs))
    settings = RegisterConfig(min_lung_dice=0.5)
    own = read_description(tiny_model)
    described = replace(own, files=hash_files(folder), register=settings.model_dump(mode="json"))
    write_description(folder, described)
    pipeline = MedSyn2Pipeline.from_pretrained(folder)
    assert pipeline.reference.settings == settings
    assert (pipeline.reference.chest.volume, pipeline.reference.chest.lungs) == (volume, lungs)
    pipeline.save_pretrained(tmp_path / "copy")
    assert read_description(tmp_path / "copy") == read_description(folder)
