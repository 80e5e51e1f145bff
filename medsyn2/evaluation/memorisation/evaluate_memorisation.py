"""The stage ``evaluate_memorisation``: are samples copies of training volumes?

Two controls go through the same search in every run and calibrate its answer. Training cases decoded from their cached
latents stand for a generator that memorised its latents: the search has to find them. Held-out cases after the
tokenizer stand for a perfect generator: it has to leave them alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float

from medsyn2.config import EvaluateFidConfig, EvaluateMemorisationConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import unit_to_hu
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, check_comparable, write_bank
from medsyn2.evaluation.features.extraction import extract_bank, make_spec
from medsyn2.evaluation.features.sizes import THUMBNAIL_WINDOW
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.held_out import load_cases, volumes_by_condition
from medsyn2.evaluation.memorisation.copies import Memorisation, Nearest, Points, Search, standardise
from medsyn2.evaluation.memorisation.near_duplicates import drop_duplicates, thumbnails
from medsyn2.evaluation.memorisation.pairs_figure import Pair, pairs_png
from medsyn2.evaluation.statistics.families import adjust
from medsyn2.evaluation.statistics.intervals import share_interval
from medsyn2.facts import DECODED, LatentsFacts
from medsyn2.files import write_bytes, write_table
from medsyn2.nn.autoencoder.windows import decode_windowed
from medsyn2.nn.device import available_device
from medsyn2.nn.precision import precision_on
from medsyn2.store.artefacts import Record, load_records
from medsyn2.store.latents import LATENTS, read_image
from medsyn2.vocabulary import PrecisionSetting
from medsyn2.weights.networks import load_tokenizer

MIN_TRAINING = 3
COPIES, RECONSTRUCTED = "copies", "held_out_reconstructed"
CONTROLS = (COPIES, RECONSTRUCTED)
TRAINING, HELD_OUT = "training", "held_out"
"""Whose reports and masks samples were asked with."""
THUMBNAILS, FEATURES, EITHER = "thumbnails", "features", "either"
MOST_COPIES_PERCENT = 50.0
"""Share of the planted copies that a way of looking finds, to have a say in whether a volume is suspect."""
COLUMNS = [
    "condition", "prompts", "by", "num_synthetic", "num_patients", "num_suspect", "suspect_percent", "suspect_low",
    "suspect_high", "suspect_patients", "expected_by_chance", "p_by_chance", "p_adjusted", "own_nearer_percent",
    "num_own", "num_copies", "copies_found_percent", "copies_found_low", "copies_found_high", "threshold",
    "smallest_contrast", "authenticity_percent", "authenticity_low", "authenticity_high",
    "held_out_authenticity_percent", "copying_z", "largest_correlation", "largest_held_out_correlation", "num_train",
    "num_held_out", "num_near_duplicates", "extractor", "protocol",
]  # fmt: skip


def evaluate_memorisation(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    evaluate_memorisation: EvaluateMemorisationConfig,
    inference: InferenceConfig,
    *,
    register: list[Path],
    samples: list[Path],
    recalled: Path,
    latents: list[Path],
    tokenizer: Path,
    reconstructions: list[Path],
    banks: Path,
    cache: Path,
    table: Path,
    pairs: Path,
    sheet: Path,
) -> None:
    """Compare each sample's nearest training volume with that of held-out real volumes.

    Neighbours are sought among all training volumes by thumbnails and by the features of evaluate_fid, both in the
    lung window. Samples that stand nearer to one training patient than held-out volumes do are suspect; the
    closest pairs are drawn, so that a person can judge.
    """
    spec = make_spec(grid, evaluate_fid, (THUMBNAIL_WINDOW,))
    train = [case.volume for case in load_cases(register, split="train")][: evaluate_memorisation.max_train]
    cases = load_cases(register, samples=samples, reconstructions=reconstructions)
    held_out, synthetic = [case.volume for case in cases], volumes_by_condition(cases)
    asked_again = volumes_by_condition(load_cases(register, samples=[recalled], split="train"))
    _refuse_too_few(train, held_out, synthetic)
    held_out = drop_duplicates(train, held_out, cache)
    encoded = _read_encoded(train, latents, evaluate_memorisation.num_copies)
    controls = {
        COPIES: _decode_cases(encoded, tokenizer, grid, inference.precision, banks / COPIES),
        RECONSTRUCTED: [case.reconstruction for case in cases if case.reconstruction],
    }

    def describe(name: str, kind: str, volumes: list[VolumeFile]) -> "_Set":
        bank = extract_bank(volumes, spec, {"kind": kind, "source": name}, cache)
        write_bank(banks / f"{name}.json", bank)
        return _Set(bank, {volume.id: volume for volume in volumes}, cache)

    of_train, of_held_out = describe("train", "real", train), describe("held_out", "real", held_out)
    recalled_of = {f"{TRAINING}_{name}": volumes for name, volumes in asked_again.items()}
    sets = (*controls.items(), *sorted(synthetic.items()), *sorted(recalled_of.items()))
    made = {name: describe(name, "synthetic", volumes) for name, volumes in sets}
    check_comparable(of_train.bank, of_held_out.bank, *(one.bank for one in made.values()))
    searched = _search(of_train, of_held_out, made)
    found = _sources_found(made[COPIES], searched[COPIES], of_train)
    facts = {
        "num_train": len(of_train.bank.ids),
        "num_held_out": len(of_held_out.bank.ids),
        "num_near_duplicates": len(cases) - len(held_out),
        "extractor": spec.extractor.name,
        "protocol": spec.protocol.name,
    }
    rows = [
        {**_names(name), **row, **facts}
        for name, one in made.items()
        for row in _rows(one, searched[name], found, (of_held_out, of_train))
    ]
    write_table(table, pd.DataFrame(_with_adjusted_p(rows), columns=COLUMNS))
    frame = pd.concat([_pair_rows(name, one, searched[name], of_train) for name, one in made.items()])
    frame = frame.sort_values(["contrast_over_threshold", "condition", "prompts", "case"])
    write_table(pairs, frame)
    image = pairs_png(_closest(frame, made, of_train, evaluate_memorisation.num_pairs))
    write_bytes(sheet, image)


@dataclass(frozen=True)
class _Set:
    """Some volumes as the search sees them, in the order of the bank."""

    bank: Bank
    volumes: Mapping[str, VolumeFile]
    cache: Path

    @cached_property
    def thumbnails(self) -> Points:
        return thumbnails([self.volumes[case] for case in self.bank.ids], self.cache)

    @property
    def features(self) -> Points:
        parts = [self.bank.volume_means(part) for part in sorted(self.bank.parts)]
        return Points(np.concatenate(parts, axis=1), self.bank.patients)

    @property
    def num_patients(self) -> int:
        return len(set(self.bank.patients))


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


def _read_encoded(
    train: Sequence[VolumeFile], latents: Sequence[Path], num: int
) -> list[tuple[VolumeFile, Record[LatentsFacts]]]:
    """Return training cases whose latents are kept, evenly spaced, each with the record of its latents."""
    records = load_records(latents, LatentsFacts)
    held = [(volume, records[volume.id]) for volume in train if volume.id in records]
    if not held:
        raise EnvironmentFault(
            f"the search for copies has no control: of {len(train)} training cases none has latents.",
            code="too-few-cases",
            remedy="look at results/quarantine.csv for why they were lost, or raise evaluate_memorisation.max_train.",
        )
    places = np.linspace(0, len(held) - 1, min(num, len(held))).round().astype(int)
    return [held[place] for place in places]


@torch.inference_mode()
def _decode_cases(
    cases: Sequence[tuple[VolumeFile, Record[LatentsFacts]]],
    tokenizer: Path,
    grid: GridConfig,
    setting: PrecisionSetting,
    folder: Path,
) -> list[VolumeFile]:
    """Decode the latents of training cases, as a generator that knows them by heart would."""
    device = available_device()
    precision = precision_on(device, setting)
    network = load_tokenizer(tokenizer, device)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for volume, record in cases:
        origin = record.facts.origin
        image = read_image(record.path(LATENTS).parent).astype(np.float32)
        latents = torch.from_numpy(image)[None].to(device)
        unit = decode_windowed(network, latents, origin.window, origin.overlap, precision)[0, 0]
        place = folder / f"{volume.id}.nii.gz"
        hu = unit_to_hu(unit.float().cpu().numpy(), grid.clip_hu)
        write_ct(place, CTVolume(hu, volume.read().affine_mm), description=DECODED)
        made.append(VolumeFile(volume.id, volume.patient, place))
    return made


def _names(name: str) -> dict[str, str]:
    """Return the condition of a set, and whose reports and masks it was asked with."""
    if name in CONTROLS:
        return {"condition": name, "prompts": "none"}
    condition = name.removeprefix(f"{TRAINING}_")
    return {"condition": condition, "prompts": HELD_OUT if condition == name else TRAINING}


def _own_nearer(made: _Set, real: tuple[_Set, _Set], nearest: Nearest) -> dict[str, float]:
    """Return the share of volumes whose own real volume is nearer than any other training volume, by thumbnails.

    Features see texture, in which every volume is nearer to its like than to its own CT.
    """
    held_out, train = real
    own = {name: (one, index) for one in (train, held_out) for index, name in enumerate(one.bank.ids)}
    found = []
    for index, name in enumerate(made.bank.ids):
        if name in own:
            one, place = own[name]
            apart = np.linalg.norm(made.thumbnails.places[index] - one.thumbnails.places[place])
            # Of a training prompt, the nearest training volume may be its own.
            found.append(apart < nearest.distance[index] or (one is train and place == nearest.index[index]))
    return {"own_nearer_percent": 100 * float(np.mean(found)), "num_own": len(found)} if found else {}


def _search(train: _Set, held_out: _Set, made: Mapping[str, _Set]) -> dict[str, dict[str, Memorisation]]:
    """Return, for each set and way of looking, the nearest training volumes."""
    sets = (train, held_out, *made.values())
    described = {THUMBNAILS: [one.thumbnails for one in sets], FEATURES: standardise(*(one.features for one in sets))}
    searched: dict[str, dict[str, Memorisation]] = {name: {} for name in made}
    for by, (of_train, of_held_out, *others) in described.items():
        search = Search(of_train, of_held_out)
        for name, points in zip(made, others, strict=True):
            searched[name][by] = search.memorisation(points)
    return searched


def _sources_found(copies: _Set, searched: Mapping[str, Memorisation], train: _Set) -> dict[str, dict[str, float]]:
    """Return, for each way of looking, the share of copies that are suspect and whose source is named."""
    right = {
        by: found.suspect & (np.array(train.bank.ids)[found.synthetic.index] == np.array(copies.bank.ids))
        for by, found in searched.items()
    }
    right[EITHER] = np.logical_or.reduce(list(right.values()))
    return {by: {"num_copies": len(one), **_share("copies_found", one, copies)} for by, one in right.items()}


def _share(name: str, which: Bool[np.ndarray, " v"], of: _Set) -> dict[str, float]:
    percent = float(100 * which.mean())
    low, high = share_interval(percent, of.num_patients)
    return {f"{name}_percent": percent, f"{name}_low": low, f"{name}_high": high}


def credible_searches(copies_found: Mapping[str, Mapping[str, float]]) -> list[str]:
    """Return the ways of looking that find most of the copies; all if none does."""
    ways = [THUMBNAILS, FEATURES]
    return [by for by in ways if copies_found[by]["copies_found_percent"] >= MOST_COPIES_PERCENT] or ways


def _rows(
    made: _Set,
    searched: Mapping[str, Memorisation],
    copies_found: Mapping[str, Mapping[str, float]],
    real: tuple[_Set, _Set],
) -> list[dict[str, Any]]:
    """Return a row for each way of looking, and one for those together that see copies."""
    rows = []
    suspects = {by: found.suspect for by, found in searched.items()}
    credible = credible_searches(copies_found)
    suspects[EITHER] = np.logical_or.reduce([suspects[by] for by in credible])
    chances = [searched[by].chance for by in credible]
    # Of two searches: the sum is never too small, and neither is twice the smaller chance.
    either = {
        "suspect_patients": len({made.bank.patients[index] for index in np.flatnonzero(suspects[EITHER])}),
        "expected_by_chance": sum(one.expected for one in chances),
        "p_by_chance": min(1.0, len(chances) * min(one.p for one in chances)),
    }
    for by, suspect in suspects.items():
        row: dict[str, Any] = {
            "by": by,
            **(either if by == EITHER else _chance(searched[by])),
            "num_synthetic": len(suspect),
            "num_patients": made.num_patients,
            "num_suspect": int(suspect.sum()),
            **_share("suspect", suspect, made),
            **copies_found[by],
        }
        if by in searched:
            row |= _numbers(searched[by], made)
        if by == THUMBNAILS:
            both = searched[by].synthetic, searched[by].held_out
            largest = [float(_correlation(one.distance).max()) for one in both]
            row |= {"largest_correlation": largest[0], "largest_held_out_correlation": largest[1]}
            row |= _own_nearer(made, real, both[0])
        rows.append(row)
    return rows


def _with_adjusted_p(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adjust the p of both ways of looking for the conditions and prompts that are asked; controls ask nothing."""
    asked = [row for row in rows if row["by"] == EITHER and row["condition"] not in CONTROLS]
    for row, p in zip(asked, adjust([row["p_by_chance"] for row in asked]), strict=True):
        row["p_adjusted"] = float(p)
    return rows


def _chance(found: Memorisation) -> dict[str, float]:
    chance = found.chance
    return {"suspect_patients": chance.found, "expected_by_chance": chance.expected, "p_by_chance": chance.p}


def _numbers(found: Memorisation, made: _Set) -> dict[str, float]:
    return {
        "threshold": found.threshold,
        "smallest_contrast": float(found.synthetic.contrast.min()),
        **_share("authenticity", found.synthetic.ratio > 1, made),
        "held_out_authenticity_percent": found.held_out_authenticity,
        "copying_z": found.copying_z,
    }


def _correlation(distance: Float[np.ndarray, " v"]) -> Float[np.ndarray, " v"]:
    """Return Pearson's correlation of thumbnails from their distance."""
    return 1 - distance**2 / 2


def _pair_rows(name: str, made: _Set, searched: Mapping[str, Memorisation], train: _Set) -> pd.DataFrame:
    """Return a row a volume and way of looking: its nearest training volume, and how near it is."""
    frames = []
    for by, found in searched.items():
        nearest = found.synthetic
        apart = made.thumbnails.places - train.thumbnails.places[nearest.index]
        frames.append(
            pd.DataFrame(
                {
                    **_names(name),
                    "by": by,
                    "suspect": found.suspect,
                    "case": made.bank.ids,
                    "nearest_training_case": np.array(train.bank.ids)[nearest.index],
                    "contrast_over_threshold": nearest.contrast / found.threshold,
                    "contrast": nearest.contrast,
                    "ratio": nearest.ratio,
                    "distance": nearest.distance,
                    "correlation": _correlation(np.linalg.norm(apart, axis=1)),
                    "extractor": made.bank.facts.extractor,
                }
            )
        )
    return pd.concat(frames)


def _closest(frame: pd.DataFrame, made: Mapping[str, _Set], train: _Set, num: int) -> list[Pair]:
    """Return the most evident copy, as an example, and the samples' closest pairs."""
    copies, samples = (
        frame[chosen].drop_duplicates(["condition", "prompts", "case", "nearest_training_case"])
        for chosen in (frame["condition"] == COPIES, ~frame["condition"].isin(CONTROLS))
    )
    return [
        Pair(
            made[_set_of(row)].volumes[str(row.case)].read(),
            train.volumes[str(row.nearest_training_case)].read(),
            _caption(row),
        )
        for row in pd.concat([copies.head(1), samples.head(num)]).itertuples()
    ]


def _set_of(row: Any) -> str:
    return f"{TRAINING}_{row.condition}" if row.prompts == TRAINING else str(row.condition)


def _caption(row: Any) -> str:
    asked = {TRAINING: f"asked with its own {row.condition}", HELD_OUT: row.condition}
    kind = asked.get(row.prompts, "control, decoded from its latents")
    answer = "SUSPECT" if row.suspect else "not suspect"
    return (
        f"{row.case}, {kind} | {row.nearest_training_case}\n{answer}, nearest by {row.by}: contrast "
        f"{row.contrast:.2f}, {row.contrast_over_threshold:.2f} x threshold, correlation {row.correlation:.2f}"
    )
