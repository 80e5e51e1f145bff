"""Segmenting a shard: which label maps there are, whose they are, and when they are made again."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest

from medsyn2.config import Config, SegmentConfig, validate_config
from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.nifti.files import read_labels, write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.facts import InventoryFacts, LabelMapFacts, SegmentFacts
from medsyn2.segmenters.classical import segmenter
from medsyn2.segmenters.classical.thorax import Thorax
from medsyn2.stages import stage_params, stage_settings
from medsyn2.stages.segment import segment
from medsyn2.store.artefacts import Manifest, load_manifest
from medsyn2.vocabulary import LOBES, STRUCTURES
from tests.unit.records import change_facts

PHANTOM, BODY = "phantom_00003", "body"
TOOLS = {"lobes": "classical", "heart": "classical", "nodules": None}

Segment = Callable[..., Manifest]


@pytest.fixture
def run(registered_shard, tmp_path) -> Segment:
    """Segment the shard and return its manifest."""

    def segmented(**changes: object) -> Manifest:
        inputs = {"inventory": registered_shard.inventory, "register": registered_shard.register}
        inputs |= {name: changes.pop(name) for name in list(changes) if name in inputs}
        config = SegmentConfig(**{"tools": TOOLS, "working_spacing_mm": 6.0} | changes)
        manifest = tmp_path / "segment" / "0000.json"
        segment(config, **inputs, manifest=manifest, settings=config.model_dump_json())
        return load_manifest(manifest, SegmentFacts)

    return segmented


def test_each_structure_has_a_label_map_its_tool_and_its_names(run: Segment) -> None:
    manifest = run()
    record = manifest.records[PHANTOM]
    assert record.status == "ok"
    assert set(record.files) == {f"{PHANTOM}/lobes.nii.gz", f"{PHANTOM}/heart.nii.gz"}
    assert (record.facts.subject, record.facts.split) == (f"s_{PHANTOM}", "train")
    assert record.facts.space == "native"
    assert record.facts.structures == {
        "lobes": LabelMapFacts("classical", LOBES),
        "heart": LabelMapFacts("classical", {1: "heart"}),
    }


def test_native_label_maps_lie_on_the_scan(run: Segment, registered_shard) -> None:
    lobes = read_labels(run().path(PHANTOM, "lobes.nii.gz"), LOBES)
    assert lobes.spacing_mm == pytest.approx((6.0, 6.0, 6.0))
    truth = nearest_labels(registered_shard.phantom.truth["lungs"], lobes.grid).binary()
    assert dice(lobes.binary(), truth) > 0.93


def test_registered_label_maps_lie_on_the_models_grid(run: Segment, registered_shard) -> None:
    manifest = run(space="registered", working_spacing_mm=7.0)
    assert manifest.records[PHANTOM].facts.space == "registered"
    lobes = read_labels(manifest.path(PHANTOM, "lobes.nii.gz"), LOBES)
    truth = nearest_labels(
        registered_shard.phantom.truth["lungs"], lobes.grid, registered_shard.template_to_native_lps_mm
    ).binary()
    assert dice(lobes.binary(), truth) > 0.9


def test_a_case_that_cannot_be_segmented_is_refused_alone(run: Segment) -> None:
    problem = run().refused[BODY].problem
    assert problem.code == "no-lungs"
    assert problem.remedy


def test_without_any_tool_there_are_no_files(run: Segment) -> None:
    manifest = run(tools=dict.fromkeys(STRUCTURES))
    assert [record.status for record in manifest.records.values()] == ["ok", "ok"]
    assert all(record.files == {} and record.facts.structures == {} for record in manifest.records.values())


def test_a_rerun_does_nothing_and_other_settings_segment_again(run: Segment) -> None:
    first = run()
    path = first.path(PHANTOM, "lobes.nii.gz")
    stamp = path.stat().st_mtime_ns
    again = run()
    assert again.records == first.records
    assert path.stat().st_mtime_ns == stamp
    coarse = run(working_spacing_mm=8.0)
    assert read_labels(coarse.path(PHANTOM, "lobes.nii.gz")).spacing_mm == pytest.approx((8.0,) * 3)


@pytest.mark.parametrize("space", ["native", "registered"])
def test_a_case_that_changes_its_split_is_recorded_so(
    run: Segment, registered_shard, tmp_path: Path, space: str
) -> None:
    tools = dict.fromkeys(STRUCTURES)
    assert run(space=space, tools=tools).records[PHANTOM].facts.split == "train"
    copytree(registered_shard.inventory.parent, tmp_path / "inventory")
    moved = tmp_path / "inventory" / "0000.json"
    change_facts(moved, InventoryFacts, lambda facts: replace(facts, split="test"))
    assert run(space=space, tools=tools, inventory=moved).records[PHANTOM].facts.split == "test"


def test_the_same_input_gives_the_same_bytes(run: Segment) -> None:
    first = run()
    first.path(PHANTOM, "heart.nii.gz").unlink()
    again = run()
    assert again.records[PHANTOM].files == first.records[PHANTOM].files
    heart = read_labels(again.path(PHANTOM, "heart.nii.gz"))
    assert set(np.unique(heart.labels)) == {0, 1}


def test_where_the_weights_lie_decides_nothing_and_another_tool_does() -> None:
    def settings(**segment: object) -> str:
        return stage_settings(Config(segment=SegmentConfig(**segment)), "segment")

    machine = {"weights_dir": "weights", "python": {"lungmask": "bin/python"}, "device": "cpu", "time_limit_s": 5}
    assert settings(**machine) == settings()
    assert settings(tools={"heart": None}) != settings()
    assert "weights_dir" in stage_params(Config(), "segment")


def test_a_mask_file_that_changes_is_read_again(run: Segment, registered_shard, tmp_path: Path) -> None:
    volume = registered_shard.phantom.volume
    path = tmp_path / f"{PHANTOM}_heart.nii.gz"
    choice = {"tools": {"heart": "files"}, "mask_files": f"{tmp_path}/{{case}}_{{structure}}.nii.gz"}
    missing = run(**choice).refused[PHANTOM]
    assert missing.problem.code == "mask-file-missing"
    for size in (2, 4):
        labels = np.zeros(volume.shape, np.uint8)
        labels[10 : 10 + size, 8:12, 9:13] = 3
        write_labels(path, LabelMap(labels, volume.affine_mm))
        manifest = run(**choice)
        assert manifest.records[PHANTOM].facts.structures["heart"].tool == "files"
        found = read_labels(manifest.path(PHANTOM, "heart.nii.gz")).labels
        np.testing.assert_array_equal(found, labels > 0)


def test_a_tool_that_cannot_find_a_structure_is_refused_at_once() -> None:
    with pytest.raises(ConfigError, match="lungmask finds no heart; classical, totalsegmentator, ct_rate, files can"):
        validate_config({"segment": {"tools": {"heart": "lungmask"}}}, source="test")


def test_nothing_of_a_structure_that_everybody_has_is_a_failure(run: Segment, monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(thorax: Thorax) -> np.ndarray:
        return np.zeros(thorax.hu.shape, dtype=bool)

    for name in ("find_heart", "find_nodules"):
        monkeypatch.setattr(segmenter, name, find_nothing)
    facts = run(tools={"lobes": "classical", "heart": "classical", "nodules": "classical"}).records[PHANTOM].facts
    assert set(facts.structures) == {"lobes", "nodules"}
    assert facts.failures is not None
    assert {name: one.code for name, one in facts.failures.items()} == {"heart": "heart-not-found"}
