import numpy as np
import pytest

from medsyn2.config import InferenceConfig, SampleConfig
from medsyn2.ct.nifti.files import read_ct, write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, Report, SampleFacts
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.stages.sample import sample
from medsyn2.store.artefacts import load_manifest
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import inventory_facts, masks_facts, register_facts, write_shard

STRUCTURES = ("heart", "nodules", "airways")
FAST = Sampling("euler", 2, guidance_mask=1.0)
REPORT = Report("A nodule of 5 mm.", "Nodule.")
CASES = {
    "a": ("test", REPORT, {"heart": "present", "nodules": "empty", "airways": "absent"}),
    "b": ("test", None, {"heart": "present"}),
    "c": ("train", REPORT, {"heart": "present"}),
    "d": ("test", REPORT, {}),
}


@pytest.fixture
def shard(tmp_path, tiny_model, tiny_mask):
    """Manifests of the earlier stages for one shard, and a function that samples it."""
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)

    def listed(case, folder):
        return inventory_facts(f"s_{case}", CASES[case][0], report=CASES[case][1])

    def registered(case, folder):
        return register_facts(f"s_{case}", CASES[case][0])

    def draw(case, folder):
        split, _, states = CASES[case]
        for structure, state in states.items():
            if state == "present":
                shifted = np.roll(tiny_mask, ord(case) % 5, axis=1)
                write_labels(folder / f"{structure}.nii.gz", LabelMap(shifted, pipeline.grid.affine_mm))
        return masks_facts(f"s_{case}", split, states)

    inputs = {
        "inventory": write_shard(tmp_path / "inventory/0000.json", InventoryFacts, CASES, listed),
        "register": write_shard(tmp_path / "register/0000.json", RegisterFacts, CASES, registered),
        "masks": write_shard(tmp_path / "masks/0000.json", MasksFacts, CASES, draw),
    }

    def run(model=tiny_model, **changes):
        manifest = tmp_path / "sample" / "0000.json"
        config = SampleConfig(**{"structures": STRUCTURES, **changes})
        sample(
            config,
            FAST,
            InferenceConfig(),
            model=model / DESCRIPTION,
            **inputs,
            manifest=manifest,
            settings=config.model_dump_json(),
        )
        return load_manifest(manifest, SampleFacts)

    return run


def conditions_of(manifest):
    return {
        case: [(made.condition, made.mode) for made in record.facts.samples]
        for case, record in manifest.records.items()
    }


def test_held_out_cases_get_a_sample_for_each_condition_they_have(shard):
    manifest = shard()
    assert conditions_of(manifest) == {
        "a": [("report", "report"), ("heart", "mask")],
        "b": [("neither", "neither"), ("heart", "mask")],
        "d": [("report", "report")],
    }
    assert manifest.records["a"].facts.subject == "s_a"
    assert {name.split("/")[1] for name in manifest.records["a"].files} == {
        "report.nii.gz",
        "report.json",
        "heart.nii.gz",
        "heart.json",
        "heart_mask.nii.gz",
    }


def test_report_and_mask_together_are_a_condition_of_cases_that_have_both(shard, tiny_model):
    manifest = shard(structures=(), joint=("heart", "nodules"), with_report=False)
    assert conditions_of(manifest) == {"a": [("report_and_heart", "both")], "b": [], "d": []}
    (made,) = manifest.records["a"].facts.samples
    assert (made.structure, made.file) == ("heart", "report_and_heart.nii.gz")
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    again = pipeline.remake(manifest.path("a", "report_and_heart.json"))
    assert (again.recipe.report, again.recipe.words) == (f"{REPORT.findings} [SEP] {REPORT.impression}", "heart")
    np.testing.assert_array_equal(read_ct(manifest.path("a", made.file)).hu, again.volume.hu)


def test_a_sample_is_what_the_pipeline_gives_and_its_sidecar_makes_it_again(shard, tiny_model):
    manifest = shard()
    pipeline = MedSyn2Pipeline.from_pretrained(tiny_model)
    seed = derive_seed(0, "a", "report")
    expected = pipeline(**vars(REPORT), seed=seed, sampling=FAST)
    found = read_ct(manifest.path("a", "report.nii.gz"))
    np.testing.assert_array_equal(found.hu, expected.volume.hu)
    again = pipeline.remake(manifest.path("b", "heart.json"))
    np.testing.assert_array_equal(read_ct(manifest.path("b", "heart.nii.gz")).hu, again.volume.hu)


def test_a_rerun_does_nothing_and_another_model_samples_again(shard, other_tiny_model):
    first = shard()
    stamp = first.path("a", "report.nii.gz").stat().st_mtime_ns
    again = shard()
    assert again.records == first.records
    assert again.path("a", "report.nii.gz").stat().st_mtime_ns == stamp
    other = shard(model=other_tiny_model)
    assert other.records["a"].files["a/report.nii.gz"] != first.records["a"].files["a/report.nii.gz"]


def test_fewer_cases_and_conditions_on_request_leave_the_others_as_they_are(shard):
    whole = shard()
    few = shard(max_cases=1, with_report=False)
    assert conditions_of(few) == {"a": [("heart", "mask")]}
    name = "a/heart.nii.gz"
    assert few.records["a"].files[name] == whole.records["a"].files[name]
