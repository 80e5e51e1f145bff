"""The stage ``evaluate_fid``: the paper's Table 1 on the cohort's held-out cases."""

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path

import pandas as pd

from medsyn2.config import Baseline, EvaluateFidConfig, GridConfig
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.banks import Bank, write_bank
from medsyn2.evaluation.features.extraction import FeatureFiles, FeatureSpec, collect_features, make_spec
from medsyn2.evaluation.features.folders import (
    check_patients,
    common_clip_hu,
    extent_of_hu,
    judge_volumes,
    read_patients,
    volumes_in,
)
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.fidelity import real_rows, table_rows
from medsyn2.evaluation.fidelity.indices import judge_sets
from medsyn2.evaluation.fidelity.indices_figure import indices_png
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.evaluation.fidelity.visible import measure_faults
from medsyn2.evaluation.held_out import Case, load_cases, volumes_by_condition
from medsyn2.facts import REAL
from medsyn2.files import write_bytes, write_table
from medsyn2.page.strips import Picture, strips_png
from medsyn2.vocabulary import WINDOWS_HU, Window

log = logging.getLogger(__name__)

ClipHU = tuple[float, float]


def evaluate_fid(
    grid: GridConfig,
    evaluate_fid: EvaluateFidConfig,
    *,
    register: list[Path],
    samples: list[Path],
    banks: Path,
    cache: Path,
    tables: list[Path],
    figure: Path,
    indices: Path,
    index_cases: Path,
    indices_figure: Path,
) -> None:
    """Compare real and synthetic volumes by the Frechet distance, in four HU windows on three planes.

    The real volumes are the registered ones of the held-out cases; the synthetic ones are those sampled for the same
    cases, a row of the table for each condition, and the configured folders of other generators, whose spacing, values
    and range are checked or stated. See `fidelity` for the numbers of a row. Beside the distances, every volume is
    judged by itself: see `indices`.
    """
    spec = make_spec(grid, evaluate_fid, tuple(WINDOWS_HU))
    cases = load_cases(register, samples=samples)
    held_out = [case.volume for case in cases]
    synthetic = volumes_by_condition(cases)
    if len(held_out) < 2 or not synthetic:
        raise EnvironmentFault(
            f"the Frechet distance needs two or more held-out cases and their samples, got {len(held_out)} cases "
            f"and samples for {sorted(synthetic) or 'no condition'}.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    generators = [_Generator(condition, volumes, spec) for condition, volumes in synthetic.items()]
    generators += _baselines(evaluate_fid.baselines, spec, load_cases(register, split=None))
    made: dict[ClipHU, list[FeatureFiles]] = defaultdict(list)
    for one in sorted(generators, key=lambda one: one.name):
        facts = {"kind": "synthetic", "source": one.name}
        made[one.spec.protocol.clip_hu].append(collect_features(one.volumes, one.spec, facts, cache, indices=True))
    facts = {"kind": "real", "source": "held-out cases"}
    real = {
        clip_hu: collect_features(held_out, _clip_spec(spec, clip_hu), facts, cache, indices=True) for clip_hu in made
    }
    places = {path.name: path for path in tables}
    faults = measure_faults(held_out, spec)
    frames: dict[Window, pd.DataFrame] = {}
    for window in WINDOWS_HU:
        rows: list[dict[str, object]] = []
        for clip_hu, sources in made.items():
            ends = "" if clip_hu == spec.protocol.clip_hu else ".{:g}_{:g}".format(*clip_hu)
            of_real = Views(_write_bank(real[clip_hu], window, banks / window / f"real{ends}.json"))
            if not rows:
                rows += real_rows(window, of_real.bank, evaluate_fid)
            for source in sources:
                bank = _write_bank(source, window, banks / window / f"{source.facts['source']}.json")
                rows += table_rows(window, of_real, Views(bank), evaluate_fid)
        rows.sort(key=lambda row: (row["condition"] != REAL, str(row["condition"])))
        frames[window] = pd.DataFrame(rows).assign(smallest_visible=faults.words(window, rows))
        write_table(places[f"fid_{window}.csv"], frames[window], digits=6)
    judged, volumes = judge_sets([(real[clip_hu], sources) for clip_hu, sources in made.items()], cache)
    write_table(indices, judged, digits=6)
    write_table(index_cases, volumes, digits=6)
    write_bytes(indices_figure, indices_png(judged, volumes))
    image = strips_png(_figure_rows(held_out, sorted(generators, key=lambda one: one.name), frames))
    write_bytes(figure, image)


@dataclass(frozen=True)
class _Generator:
    """A set to compare with the real volumes, and the features of both."""

    name: str
    volumes: list[VolumeFile]
    spec: FeatureSpec


def _baselines(baselines: Mapping[str, Baseline], spec: FeatureSpec, cohort: Sequence[Case]) -> Iterator[_Generator]:
    """Yield the configured generators, after checking their values and range."""
    patient_of_case = {case.name: case.subject for case in cohort}
    held_out = [case.volume for case in cohort if case.split == "test"]
    extent = extent_of_hu(held_out) if baselines else None
    for name, other in baselines.items():
        patients = patient_of_case if other.patients is None else read_patients(other.patients)
        volumes = volumes_in(other.folder, spacing_mm=other.spacing_mm, patients=patients)
        if other.patients is not None:
            check_patients(other.patients, patients, volumes)
        key = f"evaluate_fid.baselines.{name}"
        volumes, theirs = judge_volumes(volumes, stated=other.in_hu, state_with=f"{key}.in_hu: true")
        if other.clip_hu is None and extent is not None:
            common_clip_hu(extent, theirs, spec.protocol.clip_hu, state_with=f"{key}.clip_hu: [-1024, 600]")
        shared = len({volume.patient for volume in volumes} & {volume.patient for volume in held_out})
        log.info("%s: %d volumes, of %d held-out patients", name, len(volumes), shared)
        yield _Generator(name, volumes, _clip_spec(spec, other.clip_hu or spec.protocol.clip_hu))


def _figure_rows(
    held_out: Sequence[VolumeFile], generators: Sequence[_Generator], tables: Mapping[Window, pd.DataFrame]
) -> list[list[Picture]]:
    """Return a row a window: a real volume, then each generator's of the same case, or its first if it has none."""
    volumes = {one.name: {volume.id: volume for volume in one.volumes} for one in generators}
    case = next((volume for volume in held_out if all(volume.id in made for made in volumes.values())), held_out[0])
    chosen = {name: made.get(case.id, next(iter(made.values()))) for name, made in volumes.items()}
    real, synthetic = case.read(), {name: volume.read() for name, volume in chosen.items()}
    rows = []
    for window, table in tables.items():
        means = table[table["plane"] == "mean"].set_index("condition")
        first = next(iter(synthetic))
        floor, patients = float(means["floor"][first]), int(means["floor_patients"][first])
        named = window.replace("_", " ")
        known = f"{named} FID of {patients} from {patients} patients: floor {floor:.2g}"
        known = known if isfinite(floor) else f"{named}, too few for a floor"
        row = [Picture(real, f"{case.id}, real\n{known}", window=window)]
        for name, volume in synthetic.items():
            of_other = "" if chosen[name].id == case.id else f", {chosen[name].id}"
            at_floor = float(means["fid_at_floor"][name])
            fid = f"FID {at_floor:.3g}" if isfinite(at_floor) else f"FID {means['fid'][name]:.3g} of all"
            title = f"{name}{of_other}, SYNTHETIC\n{named} {fid}{'; FLAG' * bool(means['flag'][name])}"
            row.append(Picture(volume, title, window=window))
        rows.append(row)
    return rows


def _clip_spec(spec: FeatureSpec, clip_hu: ClipHU) -> FeatureSpec:
    return replace(spec, protocol=replace(spec.protocol, clip_hu=clip_hu))


def _write_bank(source: FeatureFiles, window: Window, place: Path) -> Bank:
    bank = source.bank([window])
    write_bank(place, bank)
    return bank
