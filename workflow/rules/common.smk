# What the rules share: the plan of the run, and the outputs and parameters of each stage.
import gc
import sys
from importlib.util import find_spec
from shlex import quote

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

from medsyn2.cohort.plan import manifests, plan_job, plan_run
from medsyn2.config import (
    find_places,
    merge,
    schedule_notes,
    tool_notes,
    trainings,
    validate_config,
)
from medsyn2.evaluation.features.sizes import takes_all_volumes
from medsyn2.runs import enter
from medsyn2.slurm import require_no_jobs
from medsyn2.stages import (
    STAGES,
    files_of_run,
    page_inputs,
    run_settings,
    stage_params,
)
from medsyn2.stages.outputs import Figure, Table, model_pattern, models
from medsyn2.stages.plan import kept_jobs

# Another environment's Snakemake finds the package beside this file, but not what its rules need.
if missing := [name for name in ("nibabel", "torch") if find_spec(name) is None]:
    raise WorkflowError(
        f"This Snakemake runs in {sys.prefix}, which has no {' and no '.join(missing)}. What to do: run the snakemake "
        f"of the environment that medsyn2 was installed into, such as {CLONE}/.venv/bin/snakemake."
    )

# The plan and Snakemake's graph live until Snakemake ends. With Python's thresholds the collector walks them again and
# again, and finds nothing: a seventh of the CPU time of planning 25,692 scans.
gc.set_threshold(100_000, 50, 100)

# The rules' `python` is the one that runs Snakemake, activated or not; where conda is deployed, the environment's. In a
# SLURM job it runs under medsyn2.slurm, which says why SLURM ended it, and the shell outlives SLURM's SIGTERM, or the
# job would end before a training has written its checkpoint.
PYTHON = (
    "command python"
    if DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    else quote(sys.executable)
)
shell.prefix(
    'set -euo pipefail; [ -z "${{SLURM_JOB_ID:-}}" ] || trap : TERM;'
    f' python() {{{{ {PYTHON} ${{{{SLURM_JOB_ID:+-m medsyn2.slurm}}}} "$@"; }}}}; '
)

# A training runs in as many processes as it has GPUs, also if the command line or a profile sets its resource gpu.
GPUS = {
    name: given["gpu"].value
    for name, given in workflow.resource_settings.overwrite_resources.items()
    if "gpu" in given and STAGES[name].shared
}
# Snakemake has read these, leniently; a later file overrides an earlier one.
FILES = [
    *(
        file
        for file in workflow.configfiles
        if file not in workflow.overwrite_configfiles
    ),
    *workflow.overwrite_configfiles,
]
SETTINGS = validate_config(
    merge(config, {"jobs": {"gpus": GPUS}}),
    source="the configuration",
    places=find_places(map(Path, FILES), workflow.config_settings.config_args or ()),
)
PLAN = plan_job(SETTINGS) if workflow.remote_exec else plan_run(SETTINGS)
JOBS = kept_jobs(PLAN)
MODELS = models(SETTINGS)
SHARDS, TRAIN_SHARDS, TEST_SHARDS = (
    PLAN.shards,
    PLAN.shards_with("train"),
    PLAN.shards_with("test"),
)
PROMPT_SHARDS = PLAN.prompt_shards
# Jobs that measure volumes take several shards, where these are small; named by the first.
TEST_BATCHES = PLAN.batches("test")
RECONSTRUCTED = PLAN.first_batches(
    TEST_BATCHES, "test", SETTINGS.evaluate_tokenizer.max_cases
)
BATCHES = PLAN.batches() if takes_all_volumes(SETTINGS) else {}


# {variant} is empty for the main model, else the folder of a variant: variants/<name>/.
wildcard_constraints:
    shard=r"\d+",
    variant=model_pattern(SETTINGS),


onstart:
    notes = [*PLAN.notes(), *tool_notes(SETTINGS)]
    enter(run_settings(SETTINGS))
    jobs = list(workflow.dag.needrun_jobs())
    require_no_jobs(Path(), ((job.name, job.wildcards) for job in jobs))
    PLAN.save()
    for name, training in trainings(SETTINGS).items():
        if name.rpartition(".")[2] in {job.name for job in jobs}:
            notes += schedule_notes(name, training)
    for note in notes:
        print(note, file=sys.stderr)


def outputs_of(name):
    """The outputs of a stage's rule, by keyword, with their captions."""
    stage = STAGES[name]
    folder = "results/{variant}" if stage.each_model else "results/"
    found = {}
    for output in stage.outputs:
        files = [f"{folder}{file}" for file in output.files]
        if output.caption:
            caption = str(stage.caption_path(output))
            files = report(files, category=output.category, caption=caption)
        found[output.keyword] = files
    return found


def params_of(name):
    """The canonical JSON of the settings that decide a stage's output, of the model that the job is of.

    A function, because Snakemake would take the {case} of a pattern in it for a wildcard.
    """
    found = {prefix: stage_params(model, name) for prefix, model in MODELS.items()}
    return lambda wildcards: found[wildcards.get("variant", "")]


def threads_of(name):
    """The CPU cores that a job of a stage asks for."""
    return STAGES[name].num_threads(SETTINGS)


def resources_of(name):
    """The time, memory and GPUs of a stage's job, as planned for the largest one; the next attempt asks for more."""

    def job(wildcards):
        return JOBS[
            name, wildcards.get("variant", "").removeprefix("variants/").rstrip("/")
        ]

    return {
        "runtime": lambda wildcards, attempt: job(wildcards).limit_of(attempt),
        "mem_mb": lambda wildcards, attempt: job(wildcards).memory_of(attempt),
        "gpu": lambda wildcards: job(wildcards).gpus or None,
        "gpu_manufacturer": lambda wildcards: "nvidia" if job(wildcards).gpus else None,
    }


def manifests_of_split(stage, split, least, names=None):
    """The manifests of a split's shards, refused when planned if it is too small for a job of hours."""

    def found(wildcards):
        PLAN.cohort.require(split, least)
        return manifests(stage, PLAN.shards_with(split) if names is None else names)

    return found


def of_batch(stage, batches, shards=SHARDS):
    """The manifests of a stage's shards that a job measures; `stage` may have the wildcard of a variant."""

    def found(wildcards):
        held = [shard for shard in batches[wildcards.shard] if shard in shards]
        return manifests(stage.format(variant=wildcards.get("variant", "")), held)

    return found


def of_earlier_batches(stage, batches):
    """The manifests of a stage's shards that other jobs measure, before this one's."""
    return lambda wildcards: manifests(
        stage,
        (
            shard
            for name, shards in batches.items()
            if name < wildcards.shard
            for shard in shards
        ),
    )


def reconstructions_of_batch(batches):
    """The manifests with the reconstructions of the cases that a job measures."""

    def found(wildcards):
        shards = {*batches[wildcards.shard]}
        names = [name for name in RECONSTRUCTED if shards & {*TEST_BATCHES[name]}]
        return manifests("reconstruct", names)

    return found


def features_of(stage, splits):
    """The manifests with the features of so many cases of each split; None takes all."""
    names = {
        name
        for split, num_cases in splits.items()
        for name in PLAN.first_batches(BATCHES, split, num_cases)
    }
    return manifests(stage, sorted(names))


def tables(kind):
    """A shard's tables of one kind; a missing one is named when planned."""
    return lambda wildcards: PLAN.tables(kind, wildcards.shard)


def given(key):
    """The files that a key of the configuration names; a missing one is named when planned."""
    return lambda wildcards: PLAN.input_paths(key)
