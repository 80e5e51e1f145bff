"""With longer training a lesion appears where its mask is, moves with it and goes with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2 import CTVolume, LabelMap, MedSyn2Pipeline, read_labels
from medsyn2.config import SegmentConfig
from medsyn2.ct.geometry import resample_mask
from medsyn2.segmenters import get_segmenter
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure

from .conftest import ROOT, Workflow

pytestmark = pytest.mark.slow

MARGIN = 0.2
LESIONS: tuple[Structure, ...] = ("pleural_effusion", "consolidation")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of the longer training."""
    workflow = Workflow(
        tmp_path_factory.mktemp("lesions"), (ROOT / "config.yaml", Path(__file__).with_name("lesions.yaml"))
    )
    workflow.run("all")
    return workflow.folder / "results"


def found(volume: CTVolume, structure: Structure) -> np.ndarray:
    """Where the classical segmenter sees the structure in a generated volume."""
    label_map = get_segmenter("classical", SegmentConfig()).segment(volume, [structure])[structure]
    return resample_mask(label_map, volume.grid, None, 0.5)


def largest_masks(results: Path, structure: Structure, count: int) -> list[LabelMap]:
    """The largest masks of held-out cases."""
    samples = pd.read_csv(results / "mask_agreement_cases.csv")
    cases = samples.query("structure == @structure and comparison == 'requested'")["case"]
    masks = [read_labels(next(results.glob(f"masks/*/{case}/{structure}.nii.gz"))) for case in cases]
    return sorted(masks, key=lambda mask: -int(mask.binary().sum()))[:count]


@pytest.mark.parametrize("structure", LESIONS)
def test_lesion_agrees_with_its_own_mask_rather_than_another_case_s(
    trained: Path, structure: Structure
) -> None:
    table = (
        pd.read_csv(trained / "mask_agreement.csv").query("structure == @structure").set_index("comparison")
    )
    assert table["dice"]["requested"] - table["dice"]["shuffled"] >= MARGIN


@pytest.mark.parametrize("structure", LESIONS)
def test_lesion_goes_flips_and_moves_with_its_mask(trained: Path, structure: Structure) -> None:
    pipeline = MedSyn2Pipeline.from_pretrained(trained / "train_dit/model")
    words = STRUCTURE_WORDS[structure]
    for mask in largest_masks(trained, structure, 2):
        region = mask.binary()
        flipped = np.ascontiguousarray(region[:, :, ::-1])
        moved = np.roll(region, 6, axis=0)
        moved[:6] = False
        empty = np.zeros_like(region)
        shown = {}
        for name, wanted in {"kept": region, "flipped": flipped, "moved": moved, "removed": empty}.items():
            asked = LabelMap(wanted.astype(np.uint8), mask.affine_mm)
            shown[name] = found(pipeline(mask=asked, mask_text=words, seed=3).volume, structure)
        assert overlap(shown["kept"], region) > overlap(shown["flipped"], region)
        assert overlap(shown["flipped"], flipped) > overlap(shown["kept"], flipped)
        assert overlap(shown["moved"], moved) > overlap(shown["kept"], moved)
        assert shown["removed"].sum() < 0.5 * shown["kept"].sum()


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Dice of two masks."""
    return 2 * float((first & second).sum()) / max(float(first.sum() + second.sum()), 1.0)
