"""The page and the tables of a run of four cases, one of them refused."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import ReportConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.planes import save_overlay
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import RegistrationError
from medsyn2.facts import (
    CT_FILE,
    OVERLAY_FILE,
    InventoryFacts,
    MasksFacts,
    RegisterFacts,
    Report,
    SampleFacts,
    SegmentFacts,
    TextFacts,
    region_file,
)
from medsyn2.files import write_json
from medsyn2.page.strips import Picture, strips_png
from medsyn2.stages import caption_of
from medsyn2.stages.report import report
from tests.unit.records import inventory_facts, masks_facts, register_facts, sample_facts, write_shard

SHAPE = (16, 24, 24)
AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
CASES = {"one": "train", "two": "test", "three": "test", "four": "train"}
REMEDY = "look at the overlay <first>"
BENCHMARK = "\t".join(
    ["s", "h:m:s", "max_rss", "max_vms", "max_uss", "max_pss", "io_in", "io_out", "mean_load", "cpu_time"]
)


class Page(HTMLParser):
    """What a page consists of; refuses tags that are not closed in order."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append(data.strip())

    def sources(self) -> list[str]:
        return [value for _, name, value in self.attributes if name in ("src", "href")]


@dataclass(frozen=True)
class Outputs:
    """What the stage wrote."""

    text: str
    cases: pd.DataFrame
    quarantine: pd.DataFrame

    @property
    def page(self) -> Page:
        return Page(self.text)


def hu_of(case: str) -> np.ndarray:
    hu = np.random.default_rng(len(case)).normal(40, 30, SHAPE)
    hu[4:12, 6:18, 3:10] = -850
    return hu.astype(np.int16)


def lobes() -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[4:12, 6:18, 3:10] = 1
    return labels


class Run:
    """The artefacts of every stage that the page is made from, written by the real writers."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.registered = [case for case in CASES if case != "four"]

    def write(self, stage: str, kind: type, cases: Iterable[str], work: Callable[..., object]) -> list[Path]:
        return [write_shard(self.root / stage / "0000.json", kind, cases, work)]

    def inventory(self, case: str, folder: Path) -> InventoryFacts:
        report = Report("A nodule.", "") if case == "one" else None
        return inventory_facts(f"s_{case}", CASES[case], path=f"data/{case}.nii.gz", report=report)

    def register(self, case: str, folder: Path) -> RegisterFacts:
        if case == "four":
            raise RegistrationError("Expected lungs, got none.", code="lungs-outside", remedy=REMEDY)
        volume = CTVolume(hu_of(case), AFFINE)
        write_ct(folder / CT_FILE, volume)
        save_overlay(folder / OVERLAY_FILE, volume.hu, volume.spacing_mm, {"lungs": lobes() > 0}, case)
        return register_facts(f"s_{case}", CASES[case], lung_dice=0.91, rotation_deg=2.5)

    def segment(self, case: str, folder: Path) -> SegmentFacts:
        return SegmentFacts(f"s_{case}", CASES[case], "native", {})

    def masks(self, case: str, folder: Path) -> MasksFacts:
        write_labels(folder / region_file("lobes"), LabelMap(lobes(), AFFINE))
        return masks_facts(f"s_{case}", CASES[case], {"lobes": "present", "nodules": "empty"})

    def text(self, case: str, folder: Path) -> TextFacts:
        return TextFacts(f"s_{case}", CASES[case], {}, 32, has_report=False)

    def sample(self, case: str, folder: Path) -> SampleFacts:
        conditions = {"neither": None, "lobes": "lobes"} if case == "two" else {"neither": None}
        for condition in conditions:
            write_ct(folder / f"{condition}.nii.gz", CTVolume(hu_of(case) + np.int16(50), AFFINE))
        return sample_facts(f"s_{case}", conditions)

    def figures(self) -> list[Path]:
        picture = Picture(CTVolume(np.zeros(SHAPE, np.int16), AFFINE), "nothing")
        path = self.root / "seeds.png"
        path.write_bytes(strips_png([[picture]]))
        return [path]

    def tables(self) -> list[Path]:
        frames = {
            "fid_lung": pd.DataFrame({"window": ["lung"], "plane": ["axial"], "fid": [0.125]}),
            "mask_agreement": pd.DataFrame(
                {
                    "structure": ["lungs"] * 3,
                    "condition": ["lobes"] * 3,
                    "comparison": ["requested", "shuffled", "ceiling"],
                    "num": [1, 1, 1],
                    "num_patients": [1, 1, 1],
                    "dice": [0.9, 0.6, 0.95],
                    "disagreement_ratio": [0.25, None, 0.125],
                    "disagreement_ratio_low": [0.2, None, 0.1],
                    "disagreement_ratio_high": [0.3, None, 0.2],
                }
            ),
        }
        paths = []
        for stem, frame in frames.items():
            paths.append(self.root / f"{stem}.csv")
            frame.to_csv(paths[-1], index=False)
        return paths

    def benchmarks(self) -> Path:
        folder = self.root / "benchmarks"
        rows = {
            "register/0000": "12.5\t0:00:12\t400.0\t1\t1\t1\t0\t0\t98.0\t12.0",
            "register/0001": "30.0\t0:00:30\t700.0\t1\t1\t1\t0\t0\t98.0\t29.0",
            "template": "0.2\t0:00:00\t-\t-\t-\t-\t-\t-\t-\t-",
        }
        for name, row in rows.items():
            path = folder / f"{name}.tsv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{BENCHMARK}\n{row}\n", encoding="utf-8")
        return folder

    def losses(self) -> list[Path]:
        paths = [self.root / stage / "loss.csv" for stage in ("train_tokenizer", "train_dit")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            pd.DataFrame({"step": [1, 2, 3], "loss": [1.0, 0.5, 0.25]}).to_csv(path, index=False)
        return paths

    def report(self, **changes: object) -> Outputs:
        model = self.root / "model.json"
        write_json(model, {"grid": {"shape": list(SHAPE)}})
        page, cases, quarantine = (self.root / name for name in ("report.html", "cases.csv", "quarantine.csv"))
        report(
            ReportConfig(**{"title": "A run & <more>"} | changes),
            inventory=self.write("inventory", InventoryFacts, CASES, self.inventory),
            register=self.write("register", RegisterFacts, CASES, self.register),
            segment=self.write("segment", SegmentFacts, self.registered, self.segment),
            masks=self.write("masks", MasksFacts, self.registered, self.masks),
            text=self.write("encode_text", TextFacts, self.registered, self.text),
            samples=self.write("sample", SampleFacts, ["two", "three"], self.sample),
            losses=self.losses(),
            model=model,
            tables=self.tables(),
            figures=self.figures(),
            timings=self.benchmarks(),
            page=page,
            cases=cases,
            quarantine=quarantine,
        )
        return Outputs(page.read_text(encoding="utf-8"), pd.read_csv(cases), pd.read_csv(quarantine))


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Run:
    return Run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def outputs(run: Run) -> Outputs:
    return run.report()


def test_the_page_is_whole_and_shows_every_case(outputs: Outputs) -> None:
    texts = outputs.page.texts
    assert "A run & <more>" in texts
    for case in CASES:
        assert case in texts
    (cohort,) = (text for text in texts if text.startswith("CT files of your own. 1 of 4 cases have a report."))
    assert "No case has a mask of" in cohort
    assert "pericardial effusion" in cohort  # no tool looked for it
    cards = dict(zip(texts[1:], texts, strict=False))
    assert (cards["refused"], cards["synthetic volumes"], cards["grid"]) == ("1", "3", "16 x 24 x 24")


def test_the_page_needs_nothing_from_elsewhere(outputs: Outputs) -> None:
    for source in outputs.page.sources():
        assert source.startswith(("data:image/png;base64,", "#"))
    without_images = re.sub(r"data:image/png;base64,[A-Za-z0-9+/=]+", "", outputs.text)
    assert not re.search(r"https?://|//[a-z]|<script|@import|url\(", without_images)
    assert ("meta", "http-equiv", "Content-Security-Policy") in outputs.page.attributes


def test_a_refused_case_is_there_with_its_remedy(outputs: Outputs) -> None:
    assert REMEDY in outputs.page.texts
    row = outputs.quarantine.iloc[0].to_dict()
    assert len(outputs.quarantine) == 1
    assert row == {
        "case": "four",
        "shard": 0,
        "stage": "register",
        "code": "lungs-outside",
        "message": "Expected lungs, got none.",
        "remedy": REMEDY,
        "path": "data/four.nii.gz",
    }


def test_each_case_has_a_row_of_the_table(outputs: Outputs) -> None:
    cases = outputs.cases.set_index("case")
    assert list(cases.index) == list(CASES)
    assert cases["split"].to_dict() == CASES
    assert cases["status"].to_dict() == {"one": "ok", "two": "ok", "three": "ok", "four": "refused by register"}
    assert cases["report"].to_dict() == {"one": "yes", "two": "no", "three": "no", "four": "no"}
    assert cases.loc["one", ["lobes", "nodules"]].tolist() == ["present", "empty"]
    assert cases.loc["one", "lung_dice"] == 0.91
    assert cases["path"]["two"] == "data/two.nii.gz"


def test_timings_come_from_the_benchmark_files(outputs: Outputs) -> None:
    texts = outputs.page.texts
    start = texts.index("peak_mb") + 1
    assert texts[start:] == ["template", "1", "0.2", "0.2", "register", "2", "42.5", "30", "700"]


def test_every_sample_is_shown_while_there_is_room(run: Run, outputs: Outputs) -> None:
    captions = [text for text in outputs.page.texts if ", seed 11" in text]
    assert captions == ["two, given: neither, seed 11", "two, mask of lobes, seed 11", "three, given: neither, seed 11"]
    fewer = run.report(max_panels=2)
    assert [text for text in fewer.page.texts if ", seed 11" in text] == captions[:2]
    assert fewer.text != outputs.text


def test_the_agreement_is_said_in_a_sentence(outputs: Outputs) -> None:
    said = " ".join(outputs.page.texts)
    assert "Dice with the requested mask 0.900" in said
    assert "0.250" in outputs.page.texts


def test_the_same_run_gives_the_same_page(run: Run, outputs: Outputs) -> None:
    assert run.report().text == outputs.text


def test_figures_are_shown_with_their_files(outputs: Outputs) -> None:
    assert f"seeds.png: {caption_of(Path('seeds.png'))}" in outputs.page.texts


def test_the_papers_values_stand_beside_the_runs(outputs: Outputs) -> None:
    texts = outputs.page.texts
    assert "The paper's printed values beside this run's" in texts
    assert "paper_as_printed" in texts
