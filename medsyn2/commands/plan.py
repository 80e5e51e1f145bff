"""Predict time, memory and disk of a configuration, stage by stage, and the size of each stage's jobs.

    medsyn2 plan --config configs/paper.yaml configs/recommended.yaml
    medsyn2 plan --config configs/paper.yaml --tflops 300 --tflops-float32 40 --cores 64     for another machine

Cases are counted by name and a few headers are opened; nothing is written. Stages on voxels have a measured cost per
voxel (medsyn2/planning/costs.py names the benchmark of every figure); stages with networks have the operations of the
configured networks in the precision that they run in, at the given speeds or at this machine's, measured for half a
second each. A "?" is an unmeasured figure; sums with it are lower bounds.

The second table has what the workflow's rules ask a scheduler for. It counts with the speed of the section ``jobs`` of
the configuration and with the largest shard.
"""

import argparse
import sys
from collections.abc import Sequence

from medsyn2.cohort.input_files import input_files, require_files
from medsyn2.commands.config_files import add_config_files
from medsyn2.config import Config, load_config, tool_notes
from medsyn2.planning.costs import GB, Cost, Speed
from medsyn2.planning.jobs import Job
from medsyn2.planning.workload import Workload, workload_of
from medsyn2.stages.plan import job_of, jobs_json, plan_costs

_HEAD = ("stage", "jobs", "CPU h", "network h", "memory GB", "device GB", "disk GB", "from")
_JOB_HEAD = ("one job of", "jobs", "cores", "GPUs", "memory GB", "predicted h", "limit h", "")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_config_files(parser)
    parser.add_argument(
        "--tflops",
        type=float,
        metavar="N",
        help="sustained speed in bfloat16 of the device that networks run on, 10^12 operations a second",
    )
    parser.add_argument(
        "--tflops-float32",
        type=float,
        metavar="N",
        help="its speed in float32 without TF32 (default: that of --tflops)",
    )
    parser.add_argument("--cores", type=int, metavar="N", help="CPU cores that share the jobs")
    parser.add_argument("--json", action="store_true", help="print the jobs alone, as JSON; the workflow reads them")


def run(arguments: argparse.Namespace) -> None:
    """Print the plan; then name the tables and other files of the configuration that are not there.

    Raises:
        ConfigError: If one of them is missing.
    """
    config = load_config(*arguments.config)
    work = workload_of(config)
    jobs = [job_of(cost, config) for cost in plan_costs(config, work)]
    if arguments.json:
        sys.stdout.write(jobs_json(jobs))
        return
    from medsyn2.planning.speed import this_machine

    machine = this_machine()
    device, speed, has_bf16 = machine.name, machine.speed, machine.has_bf16
    if arguments.tflops:
        float32 = arguments.tflops_float32 or arguments.tflops
        device, speed, has_bf16 = "the given device", Speed(float32 * 1e12, arguments.tflops * 1e12), True
    costs = all_costs(config, work, has_bf16=has_bf16)
    cores = arguments.cores or machine.cores
    sys.stdout.write(
        f"{describe_workload(work)}\nNetworks on {device}: {speed.bf16 / 1e12:.3g} TFLOP/s in bfloat16, "
        f"{speed.float32 / 1e12:.3g} in float32.\n\n{table(costs, speed)}\n\n{total(costs, speed, cores)}\n\n"
        f"{describe_speed(config)}\n\n{job_table([job for job in jobs if job.jobs])}\n"
    )
    for note in tool_notes(config):
        sys.stdout.write(f"\n{note}.\n")
    require_files(input_files(config))


def all_costs(config: Config, work: Workload, *, has_bf16: bool | None = None) -> list[Cost]:
    """Return the cost of every stage that has a job; `plan_costs` explains the arguments."""
    return [cost for cost in plan_costs(config, work, has_bf16=has_bf16) if cost.jobs]


def describe_workload(work: Workload) -> str:
    """Return the workload in words."""
    note = f"; {work.assumed}" if work.assumed else ""
    return (
        f"{work.cases} cases in {work.both.jobs} shards, {work.test_cases} of them held out; a CT has "
        f"{work.native_voxels / 1e6:.1f} million voxels, the grid {work.grid_voxels / 1e6:.1f}{note}."
    )


def table(costs: Sequence[Cost], speed: Speed) -> str:
    """Return the table with a row per stage."""
    rows = [_HEAD]
    for cost in costs:
        rows.append(
            (
                cost.name,
                str(cost.jobs),
                "?" if cost.cpu_s is None else _number(cost.cpu_s / 3600),
                _number(cost.network_s(speed) / 3600),
                _number(cost.memory_bytes / GB),
                _number(cost.device_bytes / GB),
                _number(cost.disk_bytes / GB),
                cost.basis,
            )
        )
    return _align(rows)


def describe_speed(config: Config) -> str:
    """Return the assumptions of the job table in words."""
    jobs = config.jobs
    return (
        f"The rules ask a scheduler for these; predicted for {jobs.gpu_tflops:g} TFLOP/s a GPU in "
        f"bfloat16, {jobs.gpu_float32_tflops:g} in float32, and "
        f"{jobs.core_gflops:g} GFLOP/s a core, limits {jobs.time_factor:g} times as long, at most {jobs.longest_h:g} h."
    )


def job_table(jobs: Sequence[Job]) -> str:
    """Return the table with the largest job of each stage."""
    rows = [_JOB_HEAD]
    for job in jobs:
        rows.append(
            (
                job.name,
                str(job.jobs),
                str(job.threads),
                str(job.gpus),
                _number(job.memory_mb / 1e3),
                "?" if job.seconds is None else _number(job.seconds / 3600),
                _number(job.limit_min / 60),
                _attempts(job),
            )
        )
    return _align(rows)


def _attempts(job: Job) -> str:
    if job.seconds is None:
        return "goes on in another attempt where the limit stops it"
    return f"takes {job.attempts} attempts, one after another" if job.attempts > 1 else ""


def _align(rows: Sequence[tuple[str, ...]]) -> str:
    """Return lines of left-aligned first and last columns, and right-aligned ones between."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    lines = []
    for row in rows:
        cells = [f"{row[0]:<{widths[0]}}"]
        cells += [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=False)]
        lines.append("  ".join([*cells, row[-1]]).rstrip())
    return "\n".join(lines)


def total(costs: Sequence[Cost], speed: Speed, cores: int) -> str:
    """Return the totals: hours on these cores and one device, the most demanding job, and the disk."""
    unknown = [cost.name for cost in costs if cost.cpu_s is None]
    cpu_h = sum(cost.cpu_s or 0.0 for cost in costs) / 3600
    device_h = sum(cost.network_s(speed) for cost in costs) / 3600
    memory = max(costs, key=lambda cost: cost.memory_bytes)
    device = max(costs, key=lambda cost: cost.device_bytes)
    disk = sum(cost.disk_bytes for cost in costs) / GB
    least = "at least " if unknown else ""
    lines = [
        f"Time: {least}{_number(cpu_h)} CPU hours ({_number(cpu_h / cores)} on {cores} cores) and "
        f"{_number(device_h)} hours of one device.",
        f"Memory of one job: {_number(memory.memory_bytes / GB)} GB ({memory.name}); on the device "
        f"{_number(device.device_bytes / GB)} GB ({device.name}), without what libraries take inside an operation.",
        f"Disk: {_number(disk)} GB.",
    ]
    if unknown:
        lines.append(f"Not measured by anybody: the time of {', '.join(unknown)}.")
    return "\n".join(lines)


def _number(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if value >= 100 else f"{value:.2g}"
