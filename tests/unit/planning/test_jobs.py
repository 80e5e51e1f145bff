"""A job asks for what its stage's largest one takes."""

import pytest

from medsyn2.config import JobsConfig
from medsyn2.planning.costs import Cost
from medsyn2.planning.jobs import LEAST_MB, LEAST_MIN, Job, predict_s, size_job

SETTINGS = JobsConfig(gpu_tflops=100.0, gpu_float32_tflops=20.0, core_gflops=10.0, time_factor=2.0, longest_h=10.0)
HOUR = 3600.0


def size(cost: Cost, *, gpus: int = 0, threads: int = 1) -> Job:
    """Size a job whose networks run where its GPUs are."""
    return size_job(cost, SETTINGS, gpus=gpus, threads=threads, on_gpu=gpus > 0)


def test_the_largest_shard_decides() -> None:
    equal, uneven = Cost("register", 4, 4 * HOUR), Cost("register", 4, 4 * HOUR, share=0.5)
    assert predict_s(equal, SETTINGS, 0, 1) == HOUR
    assert predict_s(uneven, SETTINGS, 0, 1) == 2 * HOUR


def test_networks_run_on_the_gpus_or_else_on_the_cores() -> None:
    cost = Cost("sample", 1, 60.0, flops=3.6e15, bf16_flops=3.6e15)
    assert predict_s(cost, SETTINGS, 1, 8) == pytest.approx(60 + 36)
    assert predict_s(cost, SETTINGS, 4, 8) == pytest.approx(60 / 4 + 9)
    assert predict_s(cost, SETTINGS, 0, 8) == pytest.approx(60 + 3.6e15 / 80e9)
    in_float32 = Cost("sample", 1, 60.0, flops=3.6e15)
    assert predict_s(in_float32, SETTINGS, 1, 8) == pytest.approx(60 + 180)


def test_workers_share_the_cpu_seconds_as_far_as_there_are_cores() -> None:
    cost = Cost("train_tokenizer", 1, 80.0, workers=8)
    assert predict_s(cost, SETTINGS, 1, 4) == 20
    assert predict_s(cost, SETTINGS, 2, 8) == 5


def test_limits_are_multiples_of_the_prediction_up_to_the_longest_and_grow() -> None:
    job = size(Cost("register", 1, 2 * HOUR))
    assert (job.limit_min, job.attempts) == (240, 1)
    assert [job.limit_of(attempt) for attempt in (1, 2, 3)] == [240, 480, 600]
    assert size(Cost("report", 1, 1.0)).limit_min == LEAST_MIN


def test_a_job_beyond_the_longest_limit_takes_several_attempts() -> None:
    job = size(Cost("train_dit", 1, 25 * HOUR))
    assert (job.limit_min, job.attempts) == (600, 3)


def test_a_job_that_nobody_measured_asks_for_the_longest_limit() -> None:
    job = size(Cost("segment", 1, None))
    assert (job.seconds, job.limit_min, job.attempts) == (None, 600, 1)


def test_memory_holds_the_networks_where_there_is_no_gpu_and_grows() -> None:
    cost = Cost("sample", 1, 1.0, memory_bytes=8e9, device_bytes=10e9)
    assert size(cost).memory_mb == 30_000
    assert size(cost, gpus=1).memory_mb == 13_000
    assert size(cost, gpus=2).memory_mb == 26_000
    assert [size(cost).memory_of(attempt) for attempt in (1, 2, 3)] == [30_000, 45_000, 60_000]
    assert size(Cost("report", 1)).memory_mb == LEAST_MB


def test_a_variant_is_named() -> None:
    assert size(Cost("sample", 1, variant="lean")).name == "sample, lean"
    assert size(Cost("sample", 1)).name == "sample"
