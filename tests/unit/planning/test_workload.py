"""How much there is to do."""

import numpy as np

from medsyn2.config import Config, validate_config
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.planning.workload import USUAL_SHAPE, Shards, workload_of


def test_phantoms_are_counted_as_they_are_split() -> None:
    work = workload_of(Config())
    assert (work.train.counts, work.test.counts) == ((15, 15), (5, 5))
    assert (work.cases, work.test_cases, work.train_cases, work.both.jobs) == (40, 10, 30, 2)
    assert work.grid_voxels == 64 * 96 * 96
    assert work.assumed == ""
    assert work.measured.jobs == work.both.batches(work.grid_voxels).jobs == 1


def test_jobs_of_large_volumes_are_as_many_as_the_shards_that_they_measure() -> None:
    large = {"grid": {"shape": [448] * 3, "spacing_mm": [0.7] * 3}, "cohort": {"num_phantoms": 60, "shard_size": 15}}
    work = workload_of(validate_config(large, source="test"))
    assert (work.measured.jobs, work.both.batches(work.grid_voxels).jobs) == (4, 4)
    first = work.measured.first(4)
    assert (first.cases, first.jobs) == (4, 2)
    assert work.measured.first(None) == work.measured


def test_a_folder_is_counted_by_its_headers(tmp_path) -> None:
    affine = axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    for index, depth in enumerate((10, 30, 20)):
        write_ct(tmp_path / f"c{index}.nii.gz", CTVolume(np.zeros((depth, 8, 6), np.int16), affine))
    (tmp_path / "bad.nii.gz").write_bytes(b"nothing")
    config = validate_config({"cohort": {"data_dir": str(tmp_path), "test_every": 2}}, source="test")
    work = workload_of(config)
    assert (work.cases, work.test_cases) == (4, 2)
    assert (work.native_slices, work.native_voxels) == (20, 20 * 8 * 6)


def test_without_a_header_a_usual_ct_is_assumed_and_said(tmp_path) -> None:
    (tmp_path / "train_1_a_1.nii.gz").touch()
    work = workload_of(validate_config({"cohort": {"data_dir": str(tmp_path)}}, source="test"))
    assert work.native_voxels == np.prod(USUAL_SHAPE)
    assert "512 x 512 x 300" in work.assumed


def test_shards_count_their_cases_and_know_the_largest() -> None:
    shards = Shards((3, 0, 5))
    assert (shards.cases, shards.jobs, shards.share) == (8, 2, 5 / 8)
    assert shards.at_most(2) == Shards((2, 0, 2))
    assert shards.at_most(None) == shards
    assert (Shards((0,)).jobs, Shards(()).share) == (0, 1.0)
