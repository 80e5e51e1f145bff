"""The stage ``evaluate_fid``: the paper's Table 1 on the cohort's held-out cases."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

from medsyn2.cohort.artefacts import Manifest, load_manifests
from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.ct.intensity import apply_window
from medsyn2.ct.nifti import read_ct
from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_text_atomically
from medsyn2.metrics.features import FeatureExtractor, RandomBank, plane_slices, planes
from medsyn2.metrics.frechet import frechet_distance
from medsyn2.vocabulary import WINDOWS_HU, Plane, Window

Features = dict[tuple[Window, Plane], Float[np.ndarray, "n f"]]


def evaluate_fid(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    *,
    register: list[Path],
    samples: list[Path],
    tables: list[Path],
) -> None:
    """Compare real and synthetic volumes by the Frechet distance, in four HU windows on three planes.

    The real volumes are the registered ones of the held-out cases; the synthetic ones are those sampled for
    the same cases, a row of the table for each condition they were given. Both are clipped to the model's HU
    range first, so that what the model cannot express is not held against it or for it.

    Args:
        grid: The model's HU range.
        evaluate_fid: Extractor and number of slices.
        register: Manifests of the stage register.
        samples: Manifests of the stage sample.
        tables: The four CSV files, named fid_<window>.csv.
    """
    bank = RandomBank(evaluate_fid.seed)
    real = [manifest.path(case, "ct.nii.gz") for manifest, case in _held_out(load_manifests(register))]
    synthetic = _by_condition(load_manifests(samples))
    if len(real) < 2 or not synthetic:
        raise EnvironmentFault(
            f"the Frechet distance needs two or more held-out cases and their samples, got {len(real)} cases "
            f"and samples for {sorted(synthetic) or 'no condition'}.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    real_features = _features(real, bank, grid, evaluate_fid)
    rows: dict[Window, list[dict[str, object]]] = defaultdict(list)
    for condition, paths in sorted(synthetic.items()):
        features = _features(paths, bank, grid, evaluate_fid)
        for window in WINDOWS_HU:
            facts = {
                "condition": condition,
                "num_real": len(real),
                "num_synthetic": len(paths),
                "slices_per_volume": evaluate_fid.slices_per_volume,
                "extractor": bank.name,
            }
            rows[window].extend({**row, **facts} for row in _rows(window, real_features, features))
    places = {path.name: path for path in tables}
    for window, table in rows.items():
        write_text_atomically(
            places[f"fid_{window}.csv"], pd.DataFrame(table).to_csv(index=False, float_format="%.6g")
        )


def _held_out(manifests: Iterable[Manifest]) -> list[tuple[Manifest, str]]:
    return [
        (manifest, case)
        for manifest in manifests
        for case, record in manifest.usable().items()
        if record.facts["split"] == "test"
    ]


def _by_condition(manifests: Iterable[Manifest]) -> Mapping[str, list[Path]]:
    found: dict[str, list[Path]] = defaultdict(list)
    for manifest in manifests:
        for case, record in manifest.usable().items():
            for sample in record.facts["samples"]:
                found[sample["condition"]].append(manifest.path(case, sample["file"]))
    return found


def _features(
    paths: list[Path], bank: FeatureExtractor, grid: GridConfig, config: EvaluateFidConfig
) -> Features:
    collected: dict[tuple[Window, Plane], list[np.ndarray]] = defaultdict(list)
    for path in tqdm(paths, desc="features", unit="volume"):
        hu = np.clip(read_ct(path).hu, *grid.clip_hu)
        for window, limits_hu in WINDOWS_HU.items():
            for plane in planes():
                slices = plane_slices(hu, plane, config.slices_per_volume)
                collected[window, plane].append(bank(apply_window(slices, limits_hu)))
    return {key: np.concatenate(parts) for key, parts in collected.items()}


def _rows(window: Window, real: Features, synthetic: Features) -> list[dict[str, object]]:
    distances = {plane: frechet_distance(real[window, plane], synthetic[window, plane]) for plane in planes()}
    distances_and_mean = {**distances, "mean": float(np.mean(list(distances.values())))}
    return [{"window": window, "plane": plane, "fid": value} for plane, value in distances_and_mean.items()]
