"""GPUs and cores that stages ask for."""

import pytest

from medsyn2.config import Config, validate_config
from medsyn2.stages import STAGES

LARGE = {"grid": {"shape": [448, 448, 448]}}
NETWORK = {"segment": {"tools": {"lobes": "lungmask"}}}
RADIMAGENET = {"evaluate_fid": {"radimagenet": "weights", "device": "cuda"}}


def config(*parts: dict[str, dict[str, object]]) -> Config:
    """Return the defaults with the keys of these parts."""
    return validate_config({name: values for part in parts for name, values in part.items()}, source="test")


def asking(*parts: dict[str, dict[str, object]]) -> set[str]:
    """Return the stages that ask for a GPU and are no training."""
    found = {name for name, stage in STAGES.items() if stage.num_gpus(config(*parts))}
    assert found >= {"train_tokenizer", "train_dit"}
    return {name for name in found if not name.startswith("train_")}


GENERATOR = {
    "encode_latents",
    "sample",
    "sample_training",
    "evaluate_memorisation",
    "evaluate_edits",
    "evaluate_attention",
    "evaluate_augmentation",
    "evaluate_variants",
    "reconstruct",
}


def test_small_volumes_ask_for_none() -> None:
    assert asking() == set()


def test_large_volumes_ask_where_the_generator_runs() -> None:
    assert asking(LARGE) == GENERATOR
    assert asking(LARGE, {"evaluate_scores": {"command": ["embed"]}}) == GENERATOR | {"evaluate_scores"}
    assert asking({"evaluate_scores": {"command": ["embed"]}}) == set()


def test_radimagenet_asks_where_its_device_is_a_gpu() -> None:
    always = {"extract_features", "evaluate_fid", "evaluate_memorisation"}
    assert asking(RADIMAGENET) == always
    itself = {"evaluate_scores"}
    for change in ({"baselines": {"Other": {"folder": "theirs"}}}, {"protocol": "vlm3d"}):
        assert asking({"evaluate_fid": {**RADIMAGENET["evaluate_fid"], **change}}) == always | itself
    assert asking({"evaluate_fid": {"radimagenet": "weights", "device": "cpu"}}) == set()
    assert asking({"evaluate_fid": {"device": "cuda"}}) == set()


def test_segmenters_ask_where_they_are_networks_of_structures_that_are_compared() -> None:
    assert asking(NETWORK) == {"segment", "segment_samples", "evaluate_edits"}
    cpu = {"segment": {**NETWORK["segment"], "device": "cpu"}}
    assert asking(cpu) == set()
    heart = {"segment": {"tools": {"heart": "totalsegmentator"}}}
    assert asking(heart) == {"segment"}
    assert asking(heart, {"evaluate_augmentation": {"relabel": True}}) == {"segment", "evaluate_augmentation"}


@pytest.mark.parametrize("tool", ["classical", "totalsegmentator"])
def test_tool_of_the_comparison_counts_and_not_the_cohort_s(tool: str) -> None:
    asked = asking({"evaluate_masks": {"tools": {"lobes": tool}}})
    assert asked == ({"segment_samples", "evaluate_edits"} if tool == "totalsegmentator" else set())


def test_trainings_ask_for_the_gpus_of_their_processes() -> None:
    several = config({"jobs": {"gpus": {"train_dit": 4}}, "train_dit": {"accumulate": 8}})
    assert (STAGES["train_dit"].num_gpus(several), STAGES["train_tokenizer"].num_gpus(several)) == (4, 1)


def test_large_volumes_ask_for_several_cores_where_small_ones_are_worked_on_side_by_side() -> None:
    small, large = (
        {name: stage.num_threads(config(*parts)) for name, stage in STAGES.items()} for parts in ([], [LARGE])
    )
    assert {name for name, cores in small.items() if cores > 1} == {"train_tokenizer", "train_dit", "reconstruct"}
    assert {name for name in GENERATOR if large[name] == 1} == set()
    assert large["register"] == 1
