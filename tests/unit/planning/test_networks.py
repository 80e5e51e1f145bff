"""Stages that run networks: operations that grow as they must."""

import pytest

from medsyn2.config import Config
from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import encode_latents, encode_text, train_dit, train_text_encoder, train_tokenizer
from medsyn2.planning.workload import Shards, Workload
from tests.unit.planned import planned_run


@pytest.fixture(scope="module")
def more() -> dict[str, Cost]:
    """Those of one with twice the cases and one mask, twice the steps, and three micro-steps."""
    changes = {
        "segment": {"tools": {"heart": "classical"}},
        "train_tokenizer": {"num_steps": 20, "accumulate": 3},
        "train_dit": {"num_steps": 20, "accumulate": 3},
    }
    run = planned_run(Workload(Shards((10, 4)), Shards((0, 2)), 1e6, 50, 16 * 32 * 32), **changes)
    return {cost.stage: cost for cost in (train_tokenizer(run), train_dit(run), encode_latents(run))}


def test_operations_grow_with_steps_cases_and_masks(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    assert more["train_tokenizer"].flops == 2 * 3 * found["train_tokenizer"].flops > 0
    assert more["train_dit"].flops == 2 * 3 * found["train_dit"].flops > 0
    # Volumes with their masks, and an empty mask of each shard.
    assert more["encode_latents"].flops * (6 * 10 + 1) == found["encode_latents"].flops * (14 * 2 + 2)


def test_the_store_is_as_large_as_its_numbers(found: dict[str, Cost], more: dict[str, Cost]) -> None:
    latent_bytes = 2 * Config().tokenizer.latent_channels * (16 // 4) * (32 // 8) ** 2
    assert found["encode_latents"].disk_bytes == latent_bytes * (10 * 6 + 1)
    assert more["encode_latents"].disk_bytes == latent_bytes * (2 * 14 + 2)


def test_the_largest_shard_is_the_longest_job(more: dict[str, Cost]) -> None:
    assert (more["encode_latents"].jobs, more["encode_latents"].largest) == (2, 10 / 14)


def test_crops_of_a_cohort_that_fits_into_memory_read_each_volume_once() -> None:
    few = planned_run(train_tokenizer={"num_steps": 1, "batch_size": 1, "mask_share": 0})
    assert "1 volumes read" in train_tokenizer(few).basis
    many = planned_run(train_tokenizer={"num_steps": 100, "batch_size": 1, "mask_share": 0})
    assert "6 volumes read" in train_tokenizer(many).basis
    large = Workload(Shards((3000,)), Shards((1,)), 1e6, 50, 448**3)
    read = train_tokenizer(planned_run(large, train_tokenizer={"num_steps": 100, "batch_size": 1, "mask_share": 0}))
    assert "100 volumes read" in read.basis
    assert read.cpu_s == pytest.approx(6 + 100 * 0.9, rel=0.01)


def test_threads_share_the_reading() -> None:
    assert train_tokenizer(planned_run(train_tokenizer={"num_workers": 4})).workers == 4
    assert train_tokenizer(planned_run()).workers == 1


def test_a_given_encoder_is_not_trained_and_costs_more_to_run() -> None:
    given = planned_run(encode_text={"encoder_dir": "cxr-bert"})
    assert (train_text_encoder(given).jobs, train_text_encoder(planned_run()).jobs) == (0, 1)
    assert encode_text(given).flops > 100 * encode_text(planned_run()).flops


def test_training_keeps_more_than_running_the_same_network(found: dict[str, Cost]) -> None:
    assert found["train_dit"].device_bytes > 16 * 1000
    assert found["train_tokenizer"].device_bytes > 0
