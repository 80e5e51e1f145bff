"""The stage ``report``: the run on one page, and the cohort as two tables."""

from collections.abc import Sequence
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from medsyn2.config import ReportConfig
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.index_lines import index_lines
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.masks.adherence import mask_adherence
from medsyn2.evaluation.paper.compare_with_paper import compare_with_paper
from medsyn2.facts import (
    OVERLAY_FILE,
    InventoryFacts,
    MasksFacts,
    RegisterFacts,
    SampledVolume,
    SampleFacts,
    SegmentFacts,
    TextFacts,
)
from medsyn2.files import write_table, write_text_atomically
from medsyn2.integrity import check_file, load_sealed
from medsyn2.page.figures import Panel, bars_png, curves_png, data_url, panel_png
from medsyn2.page.render import render, shown
from medsyn2.page.tables import RunManifests, case_table, timing_table
from medsyn2.stages import STAGES, caption_of
from medsyn2.store.artefacts import load_manifests, records_of
from medsyn2.vocabulary import STRUCTURES

NUM_OVERLAYS = 3


def report(
    report: ReportConfig,
    *,
    inventory: list[Path],
    register: list[Path],
    segment: list[Path],
    masks: list[Path],
    text: list[Path],
    samples: list[Path],
    losses: list[Path],
    model: Path,
    tables: list[Path],
    figures: list[Path],
    timings: Path,
    page: Path,
    cases: Path,
    quarantine: Path,
) -> None:
    """Write results/report.html, one page that opens anywhere, and the tables of cases and of refused cases.

    The page holds its pictures and styles. Tables and figures stand on it as the evaluations wrote them, with their
    captions; the table of refused cases has the remedy of each.
    """
    run = RunManifests(
        inventory=load_manifests(inventory, InventoryFacts),
        register=load_manifests(register, RegisterFacts),
        segment=load_manifests(segment, SegmentFacts),
        masks=load_manifests(masks, MasksFacts),
        text=load_manifests(text, TextFacts),
        samples=load_manifests(samples, SampleFacts),
    )
    held_out = load_cases(register, masks=masks, samples=samples)
    all_cases, refused = case_table(run)
    write_table(cases, all_cases, digits=None)
    write_table(quarantine, refused, digits=None)
    frames = {path.name: pd.read_csv(check_file(path)) for path in tables}
    follow = mask_adherence(frames["mask_agreement.csv"]) if "mask_agreement.csv" in frames else []
    values: dict[str, Any] = {
        "title": report.title,
        "version": version("medsyn2"),
        "cards": _cards(all_cases, held_out, model),
        "cohort": _cohort(all_cases),
        "followings": follow,
        "following_png": _following_png(follow),
        "by_themselves": list(index_lines(frames["indices.csv"])) if "indices.csv" in frames else [],
        "panels": _panels(held_out, report.max_panels),
        "figures": [
            {"png": data_url(check_file(path).read_bytes()), "name": _name(path), "caption": caption_of(path)}
            for path in figures
        ],
        "tables": [
            shown(frame, file=name, about=caption_of(Path(name)), gather=True) for name, frame in frames.items()
        ],
        "paper": shown(_of_this_run(compare_with_paper(frames)), file="docs/explanation/paper-tables.md"),
        "curves_png": curves_png({path.parent.name: pd.read_csv(check_file(path)) for path in losses}),
        "overlays": _overlays(run),
        "cases": shown(all_cases, file=cases.name),
        "quarantine": shown(refused, file=quarantine.name, about=caption_of(quarantine)),
        "timings": shown(timing_table(_benchmarks(timings)), file=str(timings)),
    }
    write_text_atomically(page, render(values))


def _cards(cases: pd.DataFrame, held_out: Sequence[Case], model: Path) -> list[dict[str, str]]:
    usable = cases[cases["status"] == "ok"]
    shape = load_sealed(model)["grid"]["shape"]
    cards = {
        "cases": len(cases),
        "refused": len(cases) - len(usable),
        "for training": int((usable["split"] == "train").sum()),
        "held out": int((usable["split"] == "test").sum()),
        "synthetic volumes": sum(len(case.samples) for case in held_out),
        "grid": " x ".join(map(str, shape)),
    }
    return [{"name": name, "value": str(value)} for name, value in cards.items()]


def _of_this_run(paper: pd.DataFrame) -> pd.DataFrame:
    """Return the printed numbers that this run has a counterpart of, without columns that hold nothing."""
    counterpart = paper["this_run"].notna() | paper["this_run_nearest"].notna()
    return paper[counterpart].dropna(axis=1, how="all")


def _cohort(cases: pd.DataFrame) -> str:
    with_report = int((cases["report"] == "yes").sum())
    phantoms = cases["path"].str.startswith("results/phantoms/").all()
    kind = "The embedded phantoms, made by procedure; no patient's data." if phantoms else "CT files of your own."
    with_warnings = int((cases["warnings"] != "").sum())
    warned = f" {with_warnings} have a warning, see the column warnings." if with_warnings else ""
    usable = cases[cases["status"] == "ok"]
    idle = [name.replace("_", " ") for name in STRUCTURES if len(usable) and (usable[name] == "absent").all()]
    without = f" No case has a mask of {', '.join(idle)}: tables of these have no rows." if idle else ""
    return f"{kind} {with_report} of {len(cases)} cases have a report.{warned}{without}"


def _following_png(found: Sequence[Any]) -> str:
    if not found:
        return ""
    names = [following.subject.replace("_", " ") for following in found]
    kinds = ("requested", "shuffled", "ceiling", "reconstructed")
    groups = {name: [getattr(f, name) for f in found] for name in kinds}
    return bars_png(names, groups, "Dice")


def _panels(held_out: Sequence[Case], max_panels: int) -> list[dict[str, str]]:
    """Draw the first samples, taking turns between the conditions, so that each is shown."""
    turns: dict[int, list[tuple[Case, SampledVolume, VolumeFile]]] = {}
    for case in held_out:
        for turn, (sample, volume) in enumerate(case.samples.items()):
            turns.setdefault(turn, []).append((case, sample, volume))
    queue = [entry for group in zip_longest(*turns.values()) for entry in group if entry]
    panels = []
    for case, sample, volume in queue[:max_panels]:
        region = case.region(sample.structure).binary() if sample.structure else None
        panel = Panel(case.read(), volume.read(), region)
        caption = f"{case.name}, {_request_words(sample)}, seed {sample.seed}"
        panels.append({"png": panel_png(panel), "caption": caption})
    return panels


def _request_words(sample: SampledVolume) -> str:
    """Return in words what a volume was made from."""
    if sample.structure is None:
        return f"given: {sample.mode}"
    mask = f"mask of {sample.structure}"
    return f"report and {mask}" if sample.mode == "both" else mask


def _overlays(run: RunManifests) -> list[dict[str, str]]:
    found = []
    for stage, records in (("register", records_of(run.register)), ("masks", records_of(run.masks))):
        for record in list(records.values())[:NUM_OVERLAYS]:
            if f"{record.case}/{OVERLAY_FILE}" in record.files:
                path = record.path(OVERLAY_FILE)
                caption = f"{stage}: {record.case}"
                found.append({"png": data_url(path.read_bytes()), "caption": caption})
    return found


def _benchmarks(folder: Path) -> dict[str, list[pd.DataFrame]]:
    return {
        stage: [pd.read_csv(path, sep="\t") for path in paths]
        for stage in STAGES
        if (paths := sorted([*folder.glob(f"**/{stage}.tsv"), *folder.glob(f"**/{stage}/*.tsv")]))
    }


def _name(figure: Path) -> str:
    """Return a figure's name, with the variant that it is of."""
    return "/".join(figure.parts[-2:]) if figure.parent.parent.name == "variants" else figure.name
