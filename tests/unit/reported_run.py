"""A run in small with reports: cases with masks, the embeddings of their reports, and the encoder that made them."""

from pathlib import Path

import numpy as np

from medsyn2.config import EncodeTextConfig, TrainTextEncoderConfig
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.facts import MasksFacts, Report, mask_file
from medsyn2.stages.encode_text import encode_text
from medsyn2.training.text_encoder import train_encoder
from tests.unit.records import inventory_facts, masks_facts, write_manifest, write_shard

NODULE = Report("A solid nodule is seen in the right upper lobe.", "Nodule.")
EFFUSION = Report("There is a large left pleural effusion. The heart is normal.", "Pleural effusion.")
CASES = {
    "a_1": ("a", "train", NODULE, ("heart", "nodules")),
    "a_2": ("a", "train", NODULE, ("heart",)),
    "b_1": ("b", "train", EFFUSION, ("heart", "pleural_effusion")),
    "c_1": (
        "c",
        "train",
        Report("There is a small left pleural effusion. The heart is normal."),
        ("pleural_effusion",),
    ),
    "d_1": ("d", "train", Report("Ground-glass opacity in both lungs."), ()),
    "e_1": ("e", "train", None, ("heart", "nodules")),
    "f_1": ("f", "test", EFFUSION, ("heart", "pleural_effusion")),
}
"""Patient, split, report and structures of each case."""
ENCODER = TrainTextEncoderConfig(vocabulary_size=300, hidden_size=16, num_layers=1, num_steps=0, max_tokens=64)


def write_reported_run(run: Path) -> Path:
    """Write the artefacts of the stages `inventory`, `masks`, `train_text_encoder` and `encode_text`."""
    listed = {case: inventory_facts(patient, split, report) for case, (patient, split, report, _) in CASES.items()}
    texts = [f"{one.findings} {one.impression}" for _, _, one, _ in CASES.values() if one is not None]
    encoder = run / "train_text_encoder/encoder"
    train_encoder(texts, ENCODER)[0].save(encoder)

    def masks(case: str, folder: Path) -> MasksFacts:
        patient, split, _, structures = CASES[case]
        for number, name in enumerate(structures):
            mask = np.zeros((8, 8, 8), np.uint8)
            mask[2 : 5 + number, 2:5, list(CASES).index(case)] = 1
            LabelMap(mask, axis_aligned_affine((4.0, 3.0, 3.0), (0.0, 0.0, 0.0))).save(folder / mask_file(name))
        return masks_facts(patient, split, dict.fromkeys(structures, "present"))

    write_shard(run / "masks/0000.json", MasksFacts, CASES, masks)
    inventory = write_manifest(run / "inventory/0000.json", listed)
    config, manifest = EncodeTextConfig(max_report_tokens=48), run / "encode_text/0000.json"
    encode_text(config, inventory=inventory, encoder=encoder, manifest=manifest, settings="")
    return run
