"""A finished run in small, as the stages leave it: real cases with masks, and volumes made from these masks."""

from pathlib import Path

import numpy as np
import torch

from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.facts import CT_FILE, MasksFacts, RegisterFacts, SampleFacts, mask_file, region_file
from medsyn2.flow import Sampling
from medsyn2.pipeline.synthetic import Recipe, Synthetic
from medsyn2.vocabulary import STRUCTURE_WORDS, Structure
from tests.unit.records import masks_facts, register_facts, sample_facts, write_shard

SHAPE = (24, 32, 32)
AFFINE = axis_aligned_affine((4.0, 3.0, 3.0), (-48.0, -40.0, -30.0))
PATIENTS = {"a": "p1", "b": "p2", "c": "p2", "d": "p3"}
"""Patient of each case; `d` has no tool that looked for nodules."""
HELD_OUT = "a"


def chest(case: str) -> CTVolume:
    """Make a block of tissue in air with noise of its own."""
    generator = np.random.default_rng(ord(case))
    hu = generator.normal(-900, 20, SHAPE)
    hu[4:20, 4:28, 4:28] = generator.normal(40, 20, (16, 24, 24))
    return CTVolume(np.rint(hu).astype(np.int16), AFFINE)


def box(case: str, size: int) -> np.ndarray:
    """Make a mask whose place depends on the case."""
    mask = np.zeros(SHAPE, np.uint8)
    start = 5 + "abcd".index(case)
    mask[start : start + size, start : start + size, 6 : 6 + size] = 1
    return mask


def synthetic(case: str, mask: np.ndarray | None, words: str | None, seed: int = 1) -> Synthetic:
    """Make a generated volume."""
    recipe = Recipe(None, None if mask is None else mask > 0, words, seed, Sampling())
    return Synthetic(chest(case), recipe, "f" * 64, torch.zeros(1, 4, 6, 4, 4))


def write_run(folder: Path) -> Path:
    """Write the artefacts of the stages `register`, `masks` and `sample`."""

    def register(case: str, place: Path) -> RegisterFacts:
        chest(case).save(place / CT_FILE)
        return register_facts(PATIENTS[case], "test" if case == HELD_OUT else "train")

    def masks(case: str, place: Path) -> MasksFacts:
        found: dict[Structure, int] = {"heart": 12, "lobes": 10, "nodules": 4 if case == "a" else 0}
        for name, size in found.items():
            if size:
                LabelMap(box(case, size), AFFINE).save(place / mask_file(name))
        lobes = box(case, 14) * np.where(np.arange(SHAPE[2]) < 13, 1, 4).astype(np.uint8)
        LabelMap(lobes, AFFINE).save(place / region_file("lobes"))
        states = {name: "present" if size else "empty" for name, size in found.items()}
        states["nodules"] = "absent" if case == "d" else states["nodules"]
        return masks_facts(PATIENTS[case], "test" if case == HELD_OUT else "train", states)

    def sample(case: str, place: Path) -> SampleFacts:
        conditions: dict[str, Structure | None] = {"report": None, "nodules": "nodules", "lobes": "lobes"}
        for name, structure in conditions.items():
            mask = None if structure is None else box(case, 4)
            synthetic(case, mask, structure and STRUCTURE_WORDS[structure]).save(place / f"{name}.nii.gz")
        return sample_facts(PATIENTS[case], conditions)

    write_shard(folder / "register/0000.json", RegisterFacts, PATIENTS, register)
    write_shard(folder / "masks/0000.json", MasksFacts, PATIENTS, masks)
    write_shard(folder / "sample/0000.json", SampleFacts, HELD_OUT, sample)
    return folder
