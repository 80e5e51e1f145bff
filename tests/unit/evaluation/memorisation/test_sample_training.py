"""Training cases are asked for with their own reports and masks, the first ones of them, and held-out cases are not."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateMemorisationConfig, InferenceConfig, SampleConfig
from medsyn2.ct.nifti.files import read_ct, write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.evaluation.memorisation.sample_training import sample_training
from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, Report, SampleFacts
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.store.artefacts import load_manifest
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import inventory_facts, masks_facts, register_facts, write_shard

FAST = Sampling("euler", 2, guidance_mask=1.0)
REPORT = Report("A nodule of 5 mm.", "Nodule.")
SPLITS = {"a": "test", "b": "train", "c": "train"}


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, tiny_mask: np.ndarray):
    """A function that asks for so many training cases."""
    affine = MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm

    def listed(case: str, folder: Path) -> InventoryFacts:
        return inventory_facts(f"s_{case}", SPLITS[case], report=REPORT)

    def registered(case: str, folder: Path) -> RegisterFacts:
        return register_facts(f"s_{case}", SPLITS[case])

    def draw(case: str, folder: Path) -> MasksFacts:
        write_labels(folder / "heart.nii.gz", LabelMap(tiny_mask, affine))
        return masks_facts(f"s_{case}", SPLITS[case], {"heart": "present"})

    inputs = {
        "inventory": [write_shard(tmp_path / "inventory/0000.json", InventoryFacts, SPLITS, listed)],
        "register": [write_shard(tmp_path / "register/0000.json", RegisterFacts, SPLITS, registered)],
        "masks": [write_shard(tmp_path / "masks/0000.json", MasksFacts, SPLITS, draw)],
    }

    def asked(num_prompts: int):
        manifest = tmp_path / "sample_training/requests.json"
        sample_training(
            SampleConfig(structures=["heart"]),
            FAST,
            InferenceConfig(),
            EvaluateMemorisationConfig(num_prompts=num_prompts),
            model=tiny_model / DESCRIPTION,
            **inputs,
            manifest=manifest,
            settings="{}",
        )
        return load_manifest(manifest, SampleFacts).records

    return asked


def test_the_first_training_cases_are_asked_for_as_held_out_ones_are(run, tiny_model: Path) -> None:
    records = run(1)
    assert list(records) == ["b"]
    facts = records["b"].facts
    assert (facts.subject, facts.split) == ("s_b", "train")
    assert [one.condition for one in facts.samples] == ["report", "heart"]
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    expected = pipeline(**vars(REPORT), seed=derive_seed(0, "b", "report"), sampling=FAST)
    np.testing.assert_array_equal(read_ct(records["b"].path("report.nii.gz")).hu, expected.volume.hu)


def test_there_may_be_fewer_training_cases_or_none_asked_for(run) -> None:
    assert list(run(9)) == ["b", "c"]
    assert run(0) == {}
