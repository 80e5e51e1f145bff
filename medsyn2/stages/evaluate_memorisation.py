"""The stage ``evaluate_memorisation``: are samples copies of training volumes?"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float

from medsyn2.cohort.artefacts import load_manifests
from medsyn2.cohort.made import read_made_ct
from medsyn2.config import EvaluateFidConfig, EvaluateMemorisationConfig, GridConfig
from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_atomically, write_text_atomically
from medsyn2.metrics.banks import Bank, check_comparable, write_bank
from medsyn2.metrics.extraction import Recipe, VolumeFile, extracted_bank
from medsyn2.metrics.memorisation import (
    Memorisation,
    Nearest,
    Points,
    correlation,
    memorisation,
    thumbnail,
)
from medsyn2.metrics.table_one import extractor_of, protocol_of
from medsyn2.page.pairs import Pair, pairs_png
from medsyn2.stages.evaluate_fid import by_condition, registered
from medsyn2.vocabulary import WINDOWS_HU, Window

WINDOW: Window = "lung"
MIN_TRAINING = 3
COLUMNS = [
    "condition", "num_synthetic", "num_train", "num_held_out", "num_suspect", "threshold", "smallest_ratio",
    "authenticity_percent", "held_out_authenticity_percent", "copying_z", "largest_correlation",
    "largest_held_out_correlation", "extractor", "protocol",
]  # fmt: skip
_HELD_THUMBNAILS = 512


def evaluate_memorisation(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    evaluate_memorisation: EvaluateMemorisationConfig,
    *,
    register: list[Path],
    samples: list[Path],
    banks: Path,
    cache: Path,
    table: Path,
    pairs: Path,
    sheet: Path,
) -> None:
    """Set each sample's nearest training volume beside what held-out real volumes have.

    Features, protocol and extractor are those of evaluate_fid, in the lung window. Samples that are nearer to a
    training volume than held-out volumes are suspect; the closest pairs are drawn, so that a person can judge.

    Args:
        grid: The model's HU range.
        evaluate_fid: Protocol and extractor.
        evaluate_memorisation: How many training volumes are searched and how many pairs are drawn.
        register: Manifests of the stage register, training and held-out cases.
        samples: Manifests of the stage sample.
        banks: Folder of the banks of features.
        cache: Folder of the features of single volumes; what is there already is not extracted again.
        table: CSV with a row a condition.
        pairs: CSV with the nearest training volume of each sample, the most suspect first.
        sheet: PNG of the closest pairs.
    """
    recipe = Recipe(protocol_of(grid, evaluate_fid), extractor_of(evaluate_fid), (WINDOW,))
    real = registered(load_manifests(register))
    train = [volume for volume, split in real if split == "train"][: evaluate_memorisation.max_train]
    held_out = [volume for volume, split in real if split == "test"]
    synthetic = by_condition(load_manifests(samples))
    _refuse_too_few(train, held_out, synthetic)

    def bank(name: str, kind: str, volumes: list[VolumeFile]) -> Bank:
        made = extracted_bank(volumes, recipe, {"kind": kind, "source": name}, cache)
        write_bank(banks / f"{name}.json", made)
        return made

    of_train, of_held_out = bank("train", "real", train), bank("held_out", "real", held_out)
    rows, listed = [], []
    for condition, volumes in sorted(synthetic.items()):
        made = bank(condition, "synthetic", volumes)
        check_comparable(of_train, of_held_out, made)
        found = memorisation(*(_points(one) for one in (of_train, of_held_out, made)))
        of_condition = _listed(made, found.synthetic, of_train, volumes, train)
        null = _listed(of_held_out, found.held_out, of_train, held_out, train)
        suspect = dict(zip(made.ids, found.suspect.tolist(), strict=True))
        extractor = made.facts.extractor
        listed += [
            {"condition": condition, "suspect": suspect[str(row["case"])], **row, "extractor": extractor}
            for row in of_condition
        ]
        counts = {"num_train": len(train), "num_held_out": len(held_out)}
        rows.append({"condition": condition, **counts, **_summary(found, made, of_condition, null)})
    write_text_atomically(table, pd.DataFrame(rows, columns=COLUMNS).to_csv(index=False, float_format="%.5g"))
    frame = pd.DataFrame(listed).sort_values(["ratio", "condition", "case"])
    write_text_atomically(pairs, frame.to_csv(index=False, float_format="%.5g"))
    closest = [
        _pair(row, synthetic, train) for row in frame.head(evaluate_memorisation.num_pairs).itertuples()
    ]
    image = pairs_png(closest)
    write_atomically(sheet, lambda partial: partial.write_bytes(image))


def _refuse_too_few(
    train: Sequence[VolumeFile], held_out: Sequence[VolumeFile], synthetic: Mapping[str, list[VolumeFile]]
) -> None:
    if len({volume.patient for volume in train}) < MIN_TRAINING or len(held_out) < 2 or not synthetic:
        raise EnvironmentFault(
            f"the search for copies needs {MIN_TRAINING} training patients, two held-out cases and samples, got "
            f"{len(train)} training cases, {len(held_out)} held out and samples for "
            f"{sorted(synthetic) or 'no condition'}.",
            code="too-few-cases",
            remedy="add cases, or look at results/quarantine.csv for lost ones.",
        )


def _points(bank: Bank) -> Points:
    parts = [bank.volume_means(part) for part in sorted(bank.parts)]
    return Points(np.concatenate(parts, axis=1), bank.patients)


def _listed(
    bank: Bank,
    nearest: Nearest,
    of_train: Bank,
    volumes: Sequence[VolumeFile],
    train: Sequence[VolumeFile],
) -> list[dict[str, Any]]:
    """Return a row a volume: its nearest training volume, and how near it is."""
    own, theirs = ({volume.id: volume.path for volume in one} for one in (volumes, train))
    rows: list[dict[str, Any]] = []
    for case, index, distance, ratio in zip(
        bank.ids, nearest.index, nearest.distance, nearest.ratio, strict=True
    ):
        training = of_train.ids[index]
        seen = correlation(_thumbnail(own[case]), _thumbnail(theirs[training]))
        rows.append(
            {
                "case": case,
                "nearest_training_case": training,
                "distance": float(distance),
                "ratio": float(ratio),
                "correlation": seen,
            }
        )
    return rows


@lru_cache(_HELD_THUMBNAILS)
def _thumbnail(path: Path) -> Float[np.ndarray, "n n n"]:
    return thumbnail(read_made_ct(path).hu, WINDOWS_HU[WINDOW])


def _summary(
    found: Memorisation,
    made: Bank,
    listed: Sequence[Mapping[str, Any]],
    null: Sequence[Mapping[str, Any]],
) -> dict[str, object]:
    largest = [max(float(row["correlation"]) for row in rows) for rows in (listed, null)]
    return {
        "num_synthetic": len(made.ids),
        "num_suspect": int(found.suspect.sum()),
        "threshold": found.threshold,
        "smallest_ratio": float(found.synthetic.ratio.min()),
        "authenticity_percent": found.authenticity,
        "held_out_authenticity_percent": found.held_out_authenticity,
        "copying_z": found.copying_z,
        "largest_correlation": largest[0],
        "largest_held_out_correlation": largest[1],
        "extractor": made.facts.extractor,
        "protocol": made.facts.protocol["name"],
    }


def _pair(row: Any, synthetic: Mapping[str, list[VolumeFile]], train: Sequence[VolumeFile]) -> Pair:
    case, training, condition = row.case, row.nearest_training_case, row.condition
    paths = {volume.id: volume.path for volume in synthetic[condition]}, {v.id: v.path for v in train}
    numbers = f"ratio {row.ratio:.2f}, correlation {row.correlation:.2f}"
    caption = f"{case}, {condition} | {training}\n{numbers}"
    return Pair(read_made_ct(paths[0][case]), read_made_ct(paths[1][training]), caption)
