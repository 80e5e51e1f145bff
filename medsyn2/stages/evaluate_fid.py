"""The stage ``evaluate_fid``: the paper's Table 1 on the cohort's held-out cases."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from medsyn2.cohort.artefacts import Manifest, load_manifests
from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_text_atomically
from medsyn2.metrics.banks import write_bank
from medsyn2.metrics.extraction import Recipe, VolumeFile, extracted
from medsyn2.metrics.folders import volumes_in
from medsyn2.metrics.table_one import extractor_of, protocol_of, table_rows
from medsyn2.vocabulary import WINDOWS_HU


def evaluate_fid(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    *,
    register: list[Path],
    samples: list[Path],
    banks: Path,
    cache: Path,
    tables: list[Path],
) -> None:
    """Compare real and synthetic volumes by the Frechet distance, in four HU windows on three planes.

    The real volumes are the registered ones of the held-out cases; the synthetic ones are those sampled for
    the same cases, a row of the table for each condition they were given, and the folders of other generators
    that the configuration names. Beside each distance stand its interval, its floor, its extrapolation to
    infinitely many volumes, the kernel distance, and precision, recall, density and coverage.

    Args:
        grid: The model's HU range.
        evaluate_fid: Protocol, extractor, number of slices, other generators.
        register: Manifests of the stage register.
        samples: Manifests of the stage sample.
        banks: Folder of the banks of features, a folder for each window; only one window is in memory at a time.
        cache: Folder of the features of single volumes; what is there already is not extracted again.
        tables: The four CSV files, named fid_<window>.csv.
    """
    recipe = recipe_of(grid, evaluate_fid)
    held_out = [volume for volume in registered(load_manifests(register)) if volume[1] == "test"]
    synthetic = by_condition(load_manifests(samples))
    if len(held_out) < 2 or not synthetic:
        raise EnvironmentFault(
            f"the Frechet distance needs two or more held-out cases and their samples, got {len(held_out)} cases "
            f"and samples for {sorted(synthetic) or 'no condition'}.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    for name, other in evaluate_fid.baselines.items():
        synthetic[name] = volumes_in(other.folder, spacing_mm=other.spacing_mm, patients={})
    real = extracted(
        [volume for volume, _ in held_out], recipe, {"kind": "real", "source": "held-out cases"}, cache
    )
    made = {
        condition: extracted(volumes, recipe, {"kind": "synthetic", "source": condition}, cache)
        for condition, volumes in sorted(synthetic.items())
    }
    places = {path.name: path for path in tables}
    for window in WINDOWS_HU:
        rows: list[dict[str, object]] = []
        of_real = real.bank([window])
        write_bank(banks / window / "real.json", of_real)
        for condition, one in made.items():
            bank = one.bank([window])
            write_bank(banks / window / f"{condition}.json", bank)
            rows += table_rows(window, of_real, bank, evaluate_fid)
        frame = pd.DataFrame(rows)
        write_text_atomically(places[f"fid_{window}.csv"], frame.to_csv(index=False, float_format="%.6g"))


def recipe_of(grid: GridConfig, config: EvaluateFidConfig) -> Recipe:
    """Return protocol, extractor and windows as configured."""
    return Recipe(protocol_of(grid, config), extractor_of(config), tuple(WINDOWS_HU))


def registered(manifests: Iterable[Manifest]) -> list[tuple[VolumeFile, str]]:
    """Return the registered volumes, each with its split."""
    return [
        (
            VolumeFile(case, record.facts.get("subject", case), manifest.path(case, "ct.nii.gz")),
            record.facts["split"],
        )
        for manifest in manifests
        for case, record in manifest.usable().items()
    ]


def by_condition(manifests: Iterable[Manifest]) -> dict[str, list[VolumeFile]]:
    """Return the sampled volumes by the condition they were given."""
    found: dict[str, list[VolumeFile]] = defaultdict(list)
    for manifest in manifests:
        for case, record in manifest.usable().items():
            for sample in record.facts["samples"]:
                patient, path = record.facts.get("subject", case), manifest.path(case, sample["file"])
                found[sample["condition"]].append(VolumeFile(case, patient, path))
    return dict(found)
