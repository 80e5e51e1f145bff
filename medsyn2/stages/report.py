"""The stage ``report``: the run on one page, and the cohort as two tables."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from itertools import zip_longest
from pathlib import Path
from typing import Any

import pandas as pd

from medsyn2.config import ReportConfig
from medsyn2.evaluation.features.extraction import VolumeFile
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.masks.adherence import mask_adherence
from medsyn2.evaluation.paper.audit import findings
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
from medsyn2.files import write_text_atomically
from medsyn2.page.figures import Panel, bars_png, curves_png, embedded, panel_png
from medsyn2.page.render import ShownTable, render, shown
from medsyn2.page.tables import RunManifests, case_table, timing_table
from medsyn2.stages import STAGES
from medsyn2.store.artefacts import load_manifests, records_of
from medsyn2.store.read_artefact import read_made_ct

NUM_OVERLAYS = 3
INTERVALS = (
    "Rows mean, low and high: the mean over cases and its 95 % interval over patients; one patient has none."
)
ABOUT = {
    "fid": "Frechet distance of real and synthetic slices in this HU window, with a 95 % interval over patients; "
    "lower is closer. Few volumes make it large: fid_at_floor is read against floor, the distance of real volumes "
    "from other patients' real ones at the same count. Values compare only as compares_with says.",
    "memorisation": "Nearest training volume of each sample, by thumbnails and by features. Suspect are samples that "
    "stand nearer to one training patient than held-out real volumes do (contrast below threshold), and by chance one "
    "in num_held_out + 1 of those that copy nothing. copies are training cases decoded from their latents: "
    "copies_found_percent is how many of them each way of looking finds; where it is low, nothing that it says of "
    "samples counts. held_out_reconstructed are held-out cases after the tokenizer, which are no copies. A copying_z "
    "below about -3 says that volumes lie nearer to the training data than real ones do; "
    "results/memorisation_pairs.png shows a found copy and the closest pairs.",
    "mask_agreement": "Generated volumes segmented again: against the requested mask, against other patients' masks "
    "(shuffled), the real volumes segmented again (ceiling), those after the tokenizer (reconstructed_ct), and the "
    "generated volumes against the mask after the tokenizer (reconstructed_mask). Overlaps are of num_present pairs, a "
    "miss counting as 0, distances of the num_distances in which both are there. disagreement_ratio is 1 - Dice over "
    "that of shuffled. In brackets 95 % intervals over patients.",
    "mask_agreement_cases": "The same, a row a comparison.",
    "seeds": "One mask, several seeds. Mean absolute difference of two seeds inside and outside what the mask is "
    "of (of lobes, the lungs), within the body; dice_between_seeds is the agreement of the structure found in both. "
    + INTERVALS,
    "edits": "One noise, the mask mirrored and moved. followed is the share of the requested displacement that the "
    "structure made: 1 it went along, 0 it stayed (empty where the centroid was asked to move by less than a voxel). "
    "dice_requested is read against dice_unedited, the agreement with the mask as it was. laterality runs from -1, all "
    "on the patient's right, to 1; it is empty for lobes, airways and vessels, which lie on both sides, mirrored or "
    "not. " + INTERVALS,
    "progressive": "A structure added with the volume's own noise. outside_over_new_noise is the change outside its "
    "mask over that of a volume from new noise: 0 leaves the rest as it was, 1 keeps nothing. " + INTERVALS,
    "attention": "Cross-attention of held-out reports. first_token_mass and finding_mass are read against alike_mass, "
    "the share of each token if all were alike; an entropy_share of 1 tells no words apart. " + INTERVALS,
    "augmentation": "A segmentation network trained on real slices, on synthetic ones and on both, for equally many "
    "steps, tested on real slices of other patients. _sd is over seeds of the training, in brackets a 95 % interval "
    "over test patients; _minus_real is the paired difference from the real slices alone, and an interval with 0 in it "
    "shows none. dice_thresholds is the mean over 256 thresholds. A missed slice counts as an overlap of 0 and has no "
    "distance. No mask of a test patient was used; the generator has seen the training cases, and the cohort's masks "
    "are its segmenter's.",
    "clip_scores": "100 x the mean cosine of a volume with its report (T2I) or the real volume of its case (I2I). "
    "Read it against shuffled, the same over pairs of different patients: an interval of above_shuffled with 0 in it "
    "shows no fit. Read recall against chance; it is empty among no more than k candidates. Neither measures realism, "
    "and rows of real volumes are no upper limit. real_on_grid are real volumes on the model's grid; real, those as "
    "acquired, have a row where a model of yours embeds them, and none in the fitted linear space, which is made of "
    "features on that grid. Values compare only within one model.",
    "zero_shot": "Labels found in the volumes by comparing them with two prompts each. Each volume's thresholds are "
    "tuned on other patients' volumes of the kind that thresholds names, so that real volumes are not flattered; "
    "intervals leave them as they are. Finding nothing and finding everything show what accuracy and F1 are worth; an "
    "AUROC of 0.5 is chance. Rows of real volumes as in clip_scores.",
    "variants": "Models trained with other settings, on the same held-out cases, masks, seeds and noise. difference is "
    "to the main model, low and high its 95 % interval over patients, empty where there is one patient or one value. "
    "It is of one training each: another seed of training may differ by as much. flow_loss is the training's, at "
    "given times and conditions; blockiness is 1 where tokens' borders do not show, and is read against real and "
    "reconstruction; lesion_made is the share of lesions made by masks of a structure that a variant never saw a mask "
    "of, read against lesion_made_mirrored, what comes up by chance.",
    "reconstruction": "Held-out volumes through the tokenizer and back. " + INTERVALS,
    "mask_reconstruction": "Masks of held-out cases through the tokenizer and back. Overlaps are of the num_present "
    "masks that are not empty, 0 where nothing came back, distances of the num_distances of which something did. In "
    "brackets 95 % intervals over patients.",
}
FIGURES = {
    "comparison": "One held-out case, real and as each condition and generator has it, a row an HU window, with the "
    "Frechet distance of all its volumes above it.",
    "memorisation_pairs": "A training case decoded from its latents, as a copy looks, then the samples that stand "
    "nearest to one training volume, each beside it: are two of one patient?",
    "seeds": "One mask, several seeds: does the structure keep to its contour in each, and what differs?",
    "edits": "The same noise with the mask as it was, mirrored, and moved: does the structure keep to its contour, or "
    "stay where it was?",
    "progressive": "A structure added to a generated volume, and what that changed.",
    "attention": "What the image's tokens attend to in the report. Above, the mean weight of each token, and dashed "
    "what each would have if all were alike; below, the weights by place in the image.",
    "augmentation": "What networks trained on real slices, on synthetic ones and on both find on test slices, blue "
    "beside the mask in yellow. Dots are seeds, bars 95 % intervals over test patients.",
    "variants": "The main model and its variants, the same mask and seed, and how much neighbouring voxels differ by "
    "their place in a token.",
    "left_out": "What masks make of a structure that a variant was not trained with masks of.",
}


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

    Args:
        report: Title and size of the page.
        inventory: Manifests of the stage inventory.
        register: Manifests of the stage register.
        segment: Manifests of the stage segment.
        masks: Manifests of the stage masks.
        text: Manifests of the stage encode_text.
        samples: Manifests of the stage sample.
        losses: Loss tables of the trainings.
        model: The trained model's model.json.
        tables: The evaluation's CSV files.
        figures: The evaluation's PNG files, each with the stem of its table.
        timings: Folder of Snakemake's benchmark files.
        page: The HTML file.
        cases: CSV with a row for each case.
        quarantine: CSV with a row for each refused case, with its remedy.
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
    write_text_atomically(cases, all_cases.to_csv(index=False))
    write_text_atomically(quarantine, refused.to_csv(index=False))
    frames = {path.name: pd.read_csv(path) for path in tables}
    follow = mask_adherence(frames["mask_agreement.csv"]) if "mask_agreement.csv" in frames else []
    values: dict[str, Any] = {
        "title": report.title,
        "version": version("medsyn2"),
        "cards": _cards(all_cases, held_out, model),
        "cohort": _cohort(all_cases),
        "followings": follow,
        "following_png": _following_png(follow),
        "panels": _panels(held_out, report.max_panels),
        "figures": [
            {"png": embedded(path.read_bytes()), "name": _name(path), "caption": FIGURES[path.stem]}
            for path in figures
        ],
        "tables": [_shown(name, frame) for name, frame in frames.items() if not name.endswith("_cases.csv")],
        "audit": shown(pd.DataFrame([asdict(finding) for finding in findings()]), file="medsyn2 audit"),
        "curves_png": curves_png({path.parent.name: pd.read_csv(path) for path in losses}),
        "overlays": _overlays(run),
        "cases": shown(all_cases, file=cases.name),
        "quarantine": shown(refused, file=quarantine.name),
        "timings": shown(timing_table(_benchmarks(timings)), file=str(timings)),
    }
    write_text_atomically(page, render(values))


def _cards(cases: pd.DataFrame, held_out: Sequence[Case], model: Path) -> list[dict[str, str]]:
    usable = cases[cases["status"] == "ok"]
    shape = json.loads(model.read_text(encoding="utf-8"))["grid"]["shape"]
    cards = {
        "cases": len(cases),
        "refused": len(cases) - len(usable),
        "for training": int((usable["split"] == "train").sum()),
        "held out": int((usable["split"] == "test").sum()),
        "synthetic volumes": sum(len(case.samples) for case in held_out),
        "grid": " x ".join(map(str, shape)),
    }
    return [{"name": name, "value": str(value)} for name, value in cards.items()]


def _cohort(cases: pd.DataFrame) -> str:
    with_report = int((cases["report"] == "yes").sum())
    phantoms = cases["path"].str.startswith("results/phantoms/").all()
    kind = (
        "The embedded phantoms, made by procedure; no patient's data."
        if phantoms
        else "CT files of your own."
    )
    with_warnings = int((cases["warnings"] != "").sum())
    warned = f" {with_warnings} have a warning, see the column warnings." if with_warnings else ""
    return f"{kind} {with_report} of {len(cases)} cases have a report.{warned}"


def _following_png(found: Sequence[Any]) -> str:
    if not found:
        return ""
    names = [following.structure.replace("_", " ") for following in found]
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
        structure = sample.structure
        region = case.region(structure).binary() if structure else None
        asked = f"mask of {structure}" if structure else f"given: {sample.mode}"
        panel = Panel(case.read(), read_made_ct(volume.path), region)
        caption = f"{case.name}, {asked}, seed {sample.seed}"
        panels.append({"png": panel_png(panel), "caption": caption})
    return panels


def _overlays(run: RunManifests) -> list[dict[str, str]]:
    found = []
    for stage, records in (("register", records_of(run.register)), ("masks", records_of(run.masks))):
        for record in list(records.values())[:NUM_OVERLAYS]:
            path = record.path(OVERLAY_FILE)
            if path.is_file():
                caption = f"{stage}: {record.case}"
                found.append({"png": embedded(path.read_bytes()), "caption": caption})
    return found


def _benchmarks(folder: Path) -> dict[str, list[pd.DataFrame]]:
    return {
        stage: [pd.read_csv(path, sep="\t") for path in paths]
        for stage in STAGES
        if (paths := sorted([*folder.glob(f"{stage}.tsv"), *folder.glob(f"{stage}/*.tsv")]))
    }


def _name(figure: Path) -> str:
    """Return a figure's name, with the variant's if it is of one."""
    return "/".join(figure.parts[-2:]) if figure.parent.parent.name == "variants" else figure.name


def _shown(name: str, frame: pd.DataFrame) -> ShownTable:
    stem = name.removesuffix(".csv")
    return shown(frame, file=name, about=ABOUT["fid" if stem.startswith("fid_") else stem], gather=True)
