# What the rules share: the validated configuration, the cohort's shards, and the parameters of each stage.
# Python only; the files named after the parts of the journey hold the rules.
import sys
from functools import cache
from math import prod
from pathlib import Path
from shlex import quote

from snakemake.settings.types import DeploymentMethod

from medsyn2.store.artefacts import write_text_atomically
from medsyn2.cohort.file_state import (
    mark_repeats,
    mask_paths,
    find_repeats,
    state_of,
)
from medsyn2.cohort.shards import (
    append_to_order,
    case_json,
    cohort_files,
    cohort_folder,
    order_text,
    other_suffixes,
    plan_cohort,
    read_order,
)
from medsyn2.cohort.subjects import read_subjects
from medsyn2.config import validate_config
from medsyn2.planning.banks import Banks
from medsyn2.stages import stage_params
from medsyn2.vocabulary import WINDOWS_HU

# The rules' `python` is the one that runs Snakemake, activated or not; where conda is deployed, the environment's.
if DeploymentMethod.CONDA not in workflow.deployment_settings.deployment_method:
    shell.prefix(
        f'set -euo pipefail; python() {{{{ {quote(sys.executable)} "$@"; }}}}; '
    )

SETTINGS = validate_config(config, source="the configuration")
PHANTOMS = SETTINGS.cohort.data_dir is None
PHANTOM_DIR = Path("results/phantoms")
ORDER_FILE = Path("results/inventory/order.txt")
KNOWN = read_order(ORDER_FILE)
FILES = cohort_files(SETTINGS.cohort, PHANTOM_DIR, KNOWN)
ORDER = append_to_order(KNOWN, FILES, cohort_folder(SETTINGS.cohort, PHANTOM_DIR))
COHORT = plan_cohort(
    FILES, ORDER, SETTINGS.cohort, read_subjects(SETTINGS.cohort.subjects_csv)
)

# Volumes this small fill neither several cores nor a GPU: their jobs run side by side instead.
SMALL = prod(SETTINGS.grid.shape) <= 2**21
THREADS, GPU = (1, 0) if SMALL else (8, 1)

SHARDS = list(COHORT.shards)
TRAIN_SHARDS = COHORT.shards_with("train")
TEST_SHARDS = COHORT.shards_with("test")
TEMPLATE_SHARDS = COHORT.first_training_shards(SETTINGS.template.num_cases)

# The features that are compared outgrow the usual memory of a job with the cohort; a quarter is for what nobody counts.
NUM_TEST = sum(
    case.split == "test" for cases in COHORT.shards.values() for case in cases
)
FID_BANKS = Banks.of(SETTINGS, NUM_TEST, len(SHARDS))
FID_MEM_MB = max(
    8000, round(1.25e-6 * FID_BANKS.memory_bytes(prod(SETTINGS.grid.shape)))
)

FID_TABLES = [f"results/fid_{window}.csv" for window in WINDOWS_HU]
FID_FIGURES = ["results/comparison.png"]
MEMORISATION_TABLES = ["results/memorisation.csv"]
MEMORISATION_FIGURES = ["results/memorisation_pairs.png"]
AGREEMENT_TABLES = ["results/mask_agreement.csv", "results/mask_agreement_cases.csv"]
EDITS_TABLES = ["results/seeds.csv", "results/edits.csv", "results/progressive.csv"]
EDITS_FIGURES = ["results/seeds.png", "results/edits.png", "results/progressive.png"]
ATTENTION_TABLES = ["results/attention.csv"]
ATTENTION_FIGURES = ["results/attention.png"]
AUGMENTATION_TABLES = ["results/augmentation.csv", "results/augmentation_cases.csv"]
AUGMENTATION_FIGURES = ["results/augmentation.png"]
SCORE_TABLES = ["results/clip_scores.csv", "results/zero_shot.csv"]
VARIANTS = {name: SETTINGS.with_variant(name) for name in SETTINGS.variants}
VARIANTS_TABLES = ["results/variants.csv"] if VARIANTS else []
VARIANTS_FIGURES = ["results/variants.png"] if VARIANTS else []
if any(other.train_dit.leave_out for other in VARIANTS.values()):
    VARIANTS_FIGURES.append("results/left_out.png")
UNGATED_FIGURES = [
    f"results/variants/{name}/attention.png"
    for name, other in VARIANTS.items()
    if other.dit.gate != SETTINGS.dit.gate
]
RECONSTRUCTION_TABLES = [
    "results/reconstruction.csv",
    "results/mask_reconstruction.csv",
]
NETWORK_TOOLS = {"lungmask", "totalsegmentator", "medpseg"} & set(
    SETTINGS.segment.tools.values()
)
ENCODER = SETTINGS.encode_text.encoder_dir or "results/train_text_encoder/encoder"
ENCODER_FILE = f"{ENCODER}/config.json"


wildcard_constraints:
    shard=r"\d+",
    variant="|".join(VARIANTS) or "no variant",


onstart:
    if ORDER != KNOWN:
        write_text_atomically(ORDER_FILE, order_text(ORDER))
    if not PHANTOMS:
        others = other_suffixes(
            SETTINGS.cohort.data_dir, SETTINGS.cohort.exclude_dirs
        )
        counts = ", ".join(f"{count} {suffix}" for suffix, count in others.items())
        if others:
            print(
                f"{SETTINGS.cohort.data_dir} holds files that are not looked at: {counts}",
                file=sys.stderr,
            )


def params_of(stage):
    """The canonical JSON of what decides the stage's output: its sections and its code version.

    A function, because Snakemake would take the {case} of a pattern in it for a wildcard.
    """
    found = stage_params(SETTINGS, stage)
    return lambda wildcards: found


def variant_params_of(stage):
    """The same of each variant, by the wildcard; what one variant changes re-runs that variant alone."""
    found = {name: stage_params(other, stage) for name, other in VARIANTS.items()}
    return lambda wildcards: found[wildcards.variant]


def of_models(file):
    """A file of the main model, then that of each variant."""
    return [
        f"results/{file}",
        *(f"results/variants/{name}/{file}" for name in VARIANTS),
    ]


def cases_of(wildcards):
    """The shard's cases as JSON: a case that joins or leaves re-runs this shard and no other."""
    return case_json(COHORT.shards[wildcards.shard])


@cache
def repeats():
    """The files that seem to be copies, of the whole cohort."""
    return find_repeats(case for cases in COHORT.shards.values() for case in cases)


def listed_of(wildcards):
    """The same for the inventory, which refuses the copies."""
    cases = COHORT.shards[wildcards.shard]
    return case_json(cases if PHANTOMS else mark_repeats(cases, repeats()))


def files_of(wildcards):
    """The state of the shard's CTs: a changed file re-runs its shard. The phantoms have a manifest for that."""
    cases = () if PHANTOMS else COHORT.shards[wildcards.shard]
    return state_of(case.path for case in cases)


def mask_files_of(wildcards):
    """The state of the user's own masks of the shard's cases."""
    chosen = [name for name, tool in SETTINGS.segment.tools.items() if tool == "files"]
    cases = COHORT.shards[wildcards.shard]
    return state_of(mask_paths(SETTINGS.segment.mask_files, cases, chosen))


def of(stage, shards):
    """The manifests of a stage for the given shards."""
    return [f"results/{stage}/{shard}.json" for shard in shards]


def of_split(stage, split, least):
    """The same for the shards of a split, refused when planned if it is too small for what would take hours."""

    def manifests(wildcards):
        COHORT.require(split, least)
        return of(stage, COHORT.shards_with(split))

    return manifests


def table(kind):
    """The cohort's tables of one kind: one a shard from the phantoms, or the file the user gave."""
    if PHANTOMS:
        return f"results/phantoms/{{shard}}_{kind}.csv" if kind != "metadata" else []
    given = getattr(SETTINGS.cohort, f"{kind}_csv")
    return str(given) if given else []
