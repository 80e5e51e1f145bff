"""With longer training a lesion appears where its mask is, moves with it and goes with it.

What a mask made is what differs between the volume generated with it and the one generated from the same noise
with an empty mask: no segmenter's errors come in. Fluid and consolidation stand where there was aerated lung,
hundreds of HU below them.
"""

from pathlib import Path

import numpy as np
import pytest

from medsyn2 import LabelMap, MedSyn2Pipeline, read_labels
from medsyn2.facts import MasksFacts, mask_file
from medsyn2.store.artefacts import load_records
from medsyn2.types import Bool
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure

from .conftest import ROOT, Workflow

pytestmark = pytest.mark.slow

MARGIN = 0.2
DENSER_HU = 300
"""A third of the way from aerated lung to fluid."""
SEEDS = (3, 4)
NUM_CASES = 3
MOVED_VOXELS = 6
LESIONS: tuple[Structure, ...] = ("pleural_effusion", "consolidation")

Mask = Bool[np.ndarray, "d h w"]


class Lesions:
    """A trained model, and the held-out cases' masks to ask it for lesions with."""

    def __init__(self, results: Path) -> None:
        self.results = results
        self.pipeline = MedSyn2Pipeline.from_pretrained(results / "train_dit/model")

    def masks(self, structure: Structure, *splits: str) -> list[LabelMap]:
        """The masks of the cases of these splits, the largest first."""
        masks = [
            read_labels(record.path(mask_file(structure)))
            for record in load_records(sorted(self.results.glob("masks/*.json")), MasksFacts).values()
            if record.facts.state(structure) == "present" and record.facts.split in splits
        ]
        return sorted(masks, key=lambda mask: -int(mask.binary().sum()))

    def made_by(self, structure: Structure, region: Mask, like: LabelMap, seed: int) -> Mask:
        """Where the generated volume is denser with this mask than with an empty one."""
        hu = [
            self.pipeline(
                mask=LabelMap(wanted.astype(np.uint8), like.affine_mm), mask_text=STRUCTURE_WORDS[structure], seed=seed
            ).volume.hu.astype(np.int32)
            for wanted in (region, np.zeros_like(region))
        ]
        return hu[0] - hu[1] > DENSER_HU


@pytest.fixture(scope="module")
def lesions(tmp_path_factory: pytest.TempPathFactory) -> Lesions:
    """What the longer training made."""
    workflow = Workflow(tmp_path_factory.mktemp("lesions"), (ROOT / "config.yaml", ROOT / "configs/lesions.yaml"))
    workflow.run("results/train_dit/model/model.json")
    return Lesions(workflow.folder / "results")


@pytest.mark.parametrize("structure", LESIONS)
def test_lesion_agrees_with_its_own_mask_rather_than_another_case_s(lesions: Lesions, structure: Structure) -> None:
    regions = [mask.binary() for mask in lesions.masks(structure, "train", "test")]
    own, others = [], []
    for mask in lesions.masks(structure, "test")[:NUM_CASES]:
        for seed in SEEDS:
            made = lesions.made_by(structure, mask.binary(), mask, seed)
            own.append(dice(made, mask.binary()))
            others += [dice(made, other) for other in regions if not np.array_equal(other, mask.binary())]
    assert np.mean(own) - np.mean(others) >= MARGIN, (own, np.mean(others))


@pytest.mark.parametrize("structure", LESIONS)
def test_lesion_flips_and_moves_with_its_mask(lesions: Lesions, structure: Structure) -> None:
    mask = lesions.masks(structure, "test")[0]
    region = mask.binary()
    flipped = np.ascontiguousarray(region[:, :, ::-1])
    moved = np.roll(region, MOVED_VOXELS, axis=0)
    moved[:MOVED_VOXELS] = False
    for wanted in (flipped, moved):
        pairs = [
            (lesions.made_by(structure, region, mask, seed), lesions.made_by(structure, wanted, mask, seed))
            for seed in SEEDS
        ]
        kept_there, shown_there = (np.mean([dice(pair[i], wanted) for pair in pairs]) for i in range(2))
        kept_here, shown_here = (np.mean([dice(pair[i], region) for pair in pairs]) for i in range(2))
        assert shown_there > kept_there
        assert kept_here > shown_here


@pytest.mark.parametrize("structure", LESIONS)
def test_what_an_empty_mask_removes_lies_where_the_lesion_was(lesions: Lesions, structure: Structure) -> None:
    for mask in lesions.masks(structure, "test")[:NUM_CASES]:
        region = mask.binary()
        made = lesions.made_by(structure, region, mask, SEEDS[0])
        assert made[region].mean() > 10 * made[~region].mean()


def dice(first: Mask, second: Mask) -> float:
    """Dice of two masks."""
    return 2 * float((first & second).sum()) / max(float(first.sum() + second.sum()), 1.0)
