"""The plan of a run: the cost of each stage for each model, and the size of its jobs.

Costs come from networks that are run without values, which takes ten CPU seconds and PyTorch; those of a pass are kept
(``planning/kept.py``) until a setting changes that it follows from. Snakemake parses the workflow in every job of a
cluster; it therefore reads a plan that another process made once, kept under a hash of everything that decides it: the
configuration, the cohort in numbers, this package's code and the version of PyTorch.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn2.cohort.file_state import state_of
from medsyn2.cohort.plan import RunPlan
from medsyn2.config import Config
from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_text_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.planning.costs import Cost
from medsyn2.planning.jobs import Job, size_job
from medsyn2.planning.kept import cache_folder, code_sha256
from medsyn2.stages import STAGES
from medsyn2.stages.devices import is_small

if TYPE_CHECKING:
    from medsyn2.planning.workload import Workload


def plan_costs(config: Config, work: "Workload", *, has_bf16: bool | None = None) -> Iterator[Cost]:
    """Yield the cost of every stage, in the workflow's order, of the main model and then of each variant.

    A stage without use for this configuration has no jobs.

    Args:
        has_bf16: Whether the device of the networks computes in bfloat16, which ``auto`` then is; None is what the
            workflow asks for: a GPU with it for volumes that fill one, else a CPU without.
    """
    from medsyn2.planning.run import PlannedRun

    has_bf16 = not is_small(config) if has_bf16 is None else has_bf16
    run = PlannedRun(config, work, has_bf16)
    for stage in STAGES.values():
        cost = stage.load_cost()(run)
        yield cost if stage.is_requested(config) else replace(cost, jobs=0)
    for name in config.variants:
        run = PlannedRun(config.with_variant(name), work, has_bf16)
        for stage in STAGES.values():
            if stage.each_model:
                yield replace(stage.load_cost()(run), variant=name)


def plan_path(plan: RunPlan) -> Path:
    """Return the file that keeps the jobs of a run: in the user's cache, which all runs share, or in the run's own."""
    cohort = plan.counts("train"), plan.counts("test"), state_of(plan.typical_files)
    settings = plan.config.model_dump(mode="json", by_alias=True)
    folder = cache_folder() or Path(".snakemake/medsyn2-plans")
    return folder / f"{fingerprint(settings, cohort, code_sha256(), version('torch'))}.json"


def job_of(cost: Cost, config: Config) -> Job:
    """Return the largest job of a stage."""
    stage = STAGES[cost.stage]
    gpus = stage.num_gpus(config)
    return size_job(
        cost, config.jobs, gpus=gpus, threads=stage.num_threads(config), on_gpu=gpus > 0 and not is_small(config)
    )


def kept_jobs(plan: RunPlan) -> dict[tuple[str, str], Job]:
    """Return the largest job of each stage, by stage and variant; planned in another process if they were not before.

    Raises:
        EnvironmentFault: If the jobs cannot be planned.
    """
    place = plan_path(plan)
    try:
        jobs = _jobs(place.read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError):  # none, or a damaged one
        text = _plan_elsewhere(plan.config)
        with suppress(OSError):  # where nothing can be kept, each job plans anew
            write_text_atomically(place, text)
        jobs = _jobs(text)
    return {(job.stage, job.variant): job for job in jobs}


def _jobs(text: str) -> list[Job]:
    return [Job(**values) for values in json.loads(text)]


def jobs_json(jobs: list[Job]) -> str:
    """Return jobs as JSON, for `kept_jobs`."""
    return json.dumps([asdict(job) for job in jobs], indent=1)


def _plan_elsewhere(config: Config) -> str:
    command = [sys.executable, "-m", "medsyn2", "plan", "--config", "/dev/stdin", "--json"]
    settings = config.model_dump_json(by_alias=True)
    done = subprocess.run(command, input=settings, capture_output=True, encoding="utf-8", check=False)
    if done.returncode:
        said = done.stderr.strip().rpartition("\n")[2].removeprefix("medsyn2: ")
        raise EnvironmentFault(
            f"The jobs cannot be planned: {said or 'their process was killed'}",
            code="plan-failed",
            remedy="`medsyn2 plan --config` with your configuration shows the whole message.",
        )
    return done.stdout
