"""From label maps to the nine masks of a case on the model's grid."""

import shutil
from collections.abc import Callable

import numpy as np
import pytest

from medsyn2.config import MasksConfig, SegmentConfig
from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.masks import lobe_boundaries
from medsyn2.ct.nifti.files import read_labels
from medsyn2.errors import IntegrityError
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.facts import MaskFacts, MasksFacts, RegisterFacts, SegmentFacts
from medsyn2.integrity import SEAL, read_sealed, write_sealed
from medsyn2.stages.masks import masks
from medsyn2.stages.segment import segment
from medsyn2.store.artefacts import Manifest, load_manifest
from medsyn2.vocabulary import LOBES, STRUCTURES

PHANTOM, BODY = "phantom_00003", "body"
MADE = ("lobes", "heart", "airways", "vessels")

Masks = Callable[..., Manifest]


@pytest.fixture(scope="module")
def segmented(registered_shard, tmp_path_factory):
    """Segment the shard on the given volume, once each, and return the manifest's path."""
    made = {}

    def of(space: str):
        if space not in made:
            tools = {structure: "classical" if structure in MADE else None for structure in STRUCTURES}
            config = SegmentConfig(space=space, tools=tools, working_spacing_mm=6.0)
            made[space] = tmp_path_factory.mktemp("segment") / "0000.json"
            segment(
                config,
                inventory=registered_shard.inventory,
                register=registered_shard.register,
                manifest=made[space],
                settings="",
            )
        return made[space]

    return of


@pytest.fixture
def run(registered_shard, segmented, tmp_path) -> Masks:
    """Make the shard's masks and return its manifest."""

    def made(space: str = "native", **changes: object) -> Manifest:
        config = MasksConfig(**changes)
        manifest = tmp_path / f"masks_{space}" / "0000.json"
        masks(
            config,
            register=registered_shard.register,
            segment=segmented(space),
            manifest=manifest,
            settings=config.model_dump_json(),
        )
        return load_manifest(manifest, MasksFacts)

    return made


def test_files_are_the_structures_that_are_present(run: Masks) -> None:
    manifest = run()
    assert set(manifest.records) == {PHANTOM}
    record = manifest.records[PHANTOM]
    states = record.facts.masks
    assert tuple(sorted(states)) == tuple(sorted(STRUCTURES))
    assert (record.facts.subject, record.facts.split) == (f"s_{PHANTOM}", "train")
    present = {structure for structure, state in states.items() if state.state == "present"}
    assert {"lobes", "heart", "vessels"} <= present <= set(MADE)
    names = {f"{name}.nii.gz" for name in (*present, "lobe_labels")} | {"overlay.png"}
    assert set(record.files) == {f"{PHANTOM}/{name}" for name in names}


@pytest.mark.parametrize("lost", ["ct.nii.gz", "heart.nii.gz"])
def test_a_damaged_artefact_stops_the_run_and_the_case_is_done_when_it_is_back(
    run: Masks, registered_shard, segmented, lost: str
) -> None:
    manifest = registered_shard.register if lost == "ct.nii.gz" else segmented("native")
    kind = RegisterFacts if lost == "ct.nii.gz" else SegmentFacts
    path = load_manifest(manifest, kind).path(PHANTOM, lost)
    content = path.read_bytes()
    try:
        path.write_bytes(content[: len(content) // 2])
        with pytest.raises(IntegrityError, match=lost):
            run()
    finally:
        path.write_bytes(content)
    assert set(run().records) == {PHANTOM}


def test_without_a_tool_a_structure_is_absent(run: Masks) -> None:
    states = run().records[PHANTOM].facts.masks
    for structure in set(STRUCTURES) - set(MADE):
        assert states[structure] == MaskFacts("absent", 0.0, None)
    assert all(states[structure].tool == "classical" for structure in MADE)


def test_masks_lie_on_the_grid_and_have_the_stated_volume(run: Masks, registered_shard) -> None:
    manifest = run()
    for structure in ("lobes", "heart", "vessels"):
        mask = read_labels(manifest.path(PHANTOM, f"{structure}.nii.gz"))
        assert mask.shape == registered_shard.grid.shape
        np.testing.assert_allclose(mask.affine_mm, registered_shard.grid.affine_mm, atol=1e-3)
        assert set(np.unique(mask.labels)) == {0, 1}
        stated_ml = manifest.records[PHANTOM].facts.masks[structure].volume_ml
        assert mask.labels.sum() * np.prod(mask.spacing_mm) / 1000 == pytest.approx(stated_ml, rel=1e-4)


@pytest.mark.parametrize("space", ["native", "registered"])
def test_masks_are_where_the_phantom_is_whatever_was_segmented(run: Masks, registered_shard, space) -> None:
    """The native label maps come through the registration's shift, the registered ones must not."""
    manifest = run(space)
    shift = registered_shard.template_to_native_lps_mm
    for name, truth, least in (("lobe_labels", "lungs", 0.9), ("heart", "heart", 0.7)):
        found = read_labels(manifest.path(PHANTOM, f"{name}.nii.gz"))
        expected = nearest_labels(registered_shard.phantom.truth[truth], registered_shard.grid, shift).binary()
        assert dice(found.binary(), expected) > least


def test_lobes_are_the_boundaries_of_the_lobe_map(run: Masks) -> None:
    for radius in (0, 1):
        manifest = run(boundary_dilation_voxels=radius)
        labels = read_labels(manifest.path(PHANTOM, "lobe_labels.nii.gz"), LOBES)
        mask = read_labels(manifest.path(PHANTOM, "lobes.nii.gz")).binary()
        np.testing.assert_array_equal(mask, lobe_boundaries(labels.labels, radius))
        assert set(np.unique(labels.labels)) == {0, *LOBES}


def test_what_is_smaller_than_the_smallest_volume_is_empty(run: Masks) -> None:
    heart_ml = run().records[PHANTOM].facts.masks["heart"].volume_ml
    manifest = run(min_volume_ml=heart_ml + 1)
    heart = manifest.records[PHANTOM].facts.masks["heart"]
    assert heart == MaskFacts("empty", heart_ml, "classical")
    assert f"{PHANTOM}/heart.nii.gz" not in manifest.records[PHANTOM].files
    assert not manifest.records[PHANTOM].place("heart.nii.gz").exists()


def test_a_rerun_does_nothing_and_another_threshold_makes_masks_again(run: Masks) -> None:
    first = run()
    path = first.path(PHANTOM, "heart.nii.gz")
    stamp = path.stat().st_mtime_ns
    again = run()
    assert again.records == first.records
    assert path.stat().st_mtime_ns == stamp
    wide = run(threshold=0.1)
    states = [manifest.records[PHANTOM].facts.masks for manifest in (first, wide)]
    assert states[1]["heart"].volume_ml > states[0]["heart"].volume_ml
    assert run(threshold=0.5).records == first.records


def test_a_structure_that_its_tool_failed_on_is_absent_with_the_reason(registered_shard, segmented, tmp_path) -> None:
    source = segmented("native")
    shutil.copytree(source.with_suffix(""), tmp_path / "0000")
    shard = read_sealed(source)
    facts = next(one["facts"] for one in shard["cases"] if one["case"] == PHANTOM)
    del facts["structures"]["heart"]
    facts["failures"] = {"heart": {"tool": "classical", "code": "heart-not-found", "message": "no heart"}}
    write_sealed(tmp_path / "0000.json", {name: value for name, value in shard.items() if name != SEAL})
    made = tmp_path / "masks" / "0000.json"
    masks(MasksConfig(), register=registered_shard.register, segment=tmp_path / "0000.json", manifest=made, settings="")
    (record,) = load_manifest(made, MasksFacts).records.values()
    assert record.facts.masks["heart"] == MaskFacts("absent", 0.0, "classical", "no heart")
    assert record.facts.states["heart"] == "absent"
    assert f"{PHANTOM}/heart.nii.gz" not in record.files
