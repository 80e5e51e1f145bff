"""The stage ``evaluate_tokenizer``: what the tokenizer loses of volumes and of masks."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig
from medsyn2.ct.intensity import hu_to_unit, mask_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap, summarise
from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.evaluation.statistics.case_means import prepend_means
from medsyn2.files import sha256_of, write_text_atomically
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
from medsyn2.store.artefacts import (
    CaseWork,
    Manifest,
    Record,
    load_manifest,
    load_manifests,
    process_shard,
)
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights.networks import load_tokenizer

IMAGE_VALUES = ["ssim_gaussian", "ssim_box", "psnr_db", "psnr_db_body", "mae_hu", "mae_hu_body"]


def evaluate_tokenizer(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    evaluate_tokenizer: EvaluateTokenizerConfig,
    *,
    register: list[Path],
    masks: list[Path],
    tokenizer: Path,
    manifest: Path,
    images: Path,
    masks_table: Path,
    settings: str,
) -> None:
    """Encode and decode held-out volumes and their masks, and compare with what went in.

    What came back is kept beside the manifest, for evaluate_masks.

    Args:
        grid: The model's HU range.
        encode_latents: Windows, as for the latents.
        evaluate_tokenizer: How many cases, and the threshold of decoded masks.
        register: Manifests of the stage register.
        masks: Manifests of the stage masks.
        tokenizer: The trained tokenizer.
        manifest: Manifest of this stage.
        images: CSV of volumes: SSIM in 3-D, PSNR, mean absolute error in HU, in all and inside the body: their
            means with 95 % intervals over patients, and a row a case.
        masks_table: CSV of masks: overlaps and surface distances, a row a structure, with their intervals and the
            counts of empty and missed masks.
        settings: Canonical JSON of the settings and the code version.
    """
    round_trip = _RoundTrip(tokenizer, encode_latents)
    volumes, drawn = _of_cases(register), _of_cases(masks)
    held_out = [case for case, (_, record) in volumes.items() if record.facts["split"] == "test"]
    identity = sha256_of(tokenizer)
    cases = [
        CaseWork(
            case,
            {
                "tokenizer": identity,
                "ct": volumes[case][1].files,
                "masks": drawn[case][1].files if case in drawn else None,
            },
        )
        for case in held_out[: evaluate_tokenizer.max_cases]
    ]

    def work(case: CaseWork, folder: Path) -> Mapping[str, Any]:
        volume = read_made_ct(volumes[case.case][0].path(case.case, "ct.nii.gz"))
        image = _image(round_trip, volume, grid, folder / "ct.nii.gz")
        of_masks = {}
        for structure, tool in _present(drawn, case.case).items():
            path = drawn[case.case][0].path(case.case, f"{structure}.nii.gz")
            of_masks[structure] = {
                "segmenter": tool,
                **_mask(round_trip, path, evaluate_tokenizer, folder / path.name),
            }
        return {"image": image, "masks": of_masks}

    process_shard("evaluate_tokenizer", manifest, cases, work, settings=settings)
    patients = {case: record.facts["subject"] for case, (_, record) in volumes.items()}
    _write(images, masks_table, load_manifest(manifest).usable(), patients)


def _of_cases(manifests: list[Path]) -> dict[str, tuple[Manifest, Record]]:
    return {
        case: (manifest, record)
        for manifest in load_manifests(manifests)
        for case, record in manifest.usable().items()
    }


def _present(drawn: Mapping[str, tuple[Manifest, Record]], case: str) -> dict[str, str]:
    """Return the structures that a case has a mask of, and what made each."""
    states = drawn[case][1].facts["masks"] if case in drawn else {}
    return {
        name: states[name]["tool"] for name in STRUCTURES if states.get(name, {}).get("state") == "present"
    }


class _RoundTrip:
    """The tokenizer there and back, loaded when the first case needs it."""

    def __init__(self, tokenizer: Path, config: EncodeLatentsConfig) -> None:
        self.tokenizer, self.config = tokenizer, config

    @cached_property
    def network(self) -> CausalVideoVAE:
        return load_tokenizer(self.tokenizer, torch.device("cpu"))

    @torch.inference_mode()
    def __call__(self, values: Float[np.ndarray, "d h w"]) -> Float[np.ndarray, "d h w"]:
        x, window, overlap = torch.from_numpy(values)[None, None], self.config.window, self.config.overlap
        latents = encode_windowed(self.network, x, window, overlap).mode()
        decoded: Float[np.ndarray, "d h w"] = decode_windowed(self.network, latents, window, overlap)[
            0, 0
        ].numpy()
        return decoded


def _image(round_trip: _RoundTrip, volume: CTVolume, grid: GridConfig, place: Path) -> dict[str, float]:
    low, high = grid.clip_hu
    before = np.clip(volume.hu, low, high)
    after = unit_to_hu(round_trip(hu_to_unit(volume.hu, grid.clip_hu)), grid.clip_hu)
    write_ct(place, CTVolume(after, volume.affine_mm))
    body = inside_body(before)
    return {
        "ssim_gaussian": ssim_3d_gaussian(before, after, high - low),
        "ssim_box": ssim_3d_box(before, after, high - low),
        "psnr_db": psnr_db(before, after, high - low),
        "psnr_db_body": psnr_db(before, after, high - low, body),
        "mae_hu": mean_absolute_error_hu(before, after),
        "mae_hu_body": mean_absolute_error_hu(before, after, body),
    }


def _mask(
    round_trip: _RoundTrip, path: Path, config: EvaluateTokenizerConfig, place: Path
) -> dict[str, object]:
    mask = read_made_labels(path)
    before = mask.binary()
    after = round_trip(mask_to_unit(before)) > config.mask_threshold
    write_labels(place, LabelMap(after.astype(np.uint8), mask.affine_mm))
    found = asdict(overlap(after, before, mask.spacing_mm, config.surface_tolerance_mm))
    return {name: None if value != value else value for name, value in found.items()}  # JSON knows no NaN


def _write(
    images: Path, masks_table: Path, records: Mapping[str, Record], patients: Mapping[str, str]
) -> None:
    if not records:
        raise EnvironmentFault(
            "no held-out case could be reconstructed: none is usable.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    rows = [
        {"case": case, "patient": patients[case], **record.facts["image"]} for case, record in records.items()
    ]
    means = prepend_means(pd.DataFrame(rows, columns=["case", "patient", *IMAGE_VALUES]), IMAGE_VALUES)
    write_text_atomically(images, means.to_csv(index=False, float_format="%.5g"))
    mask_rows = [
        {"structure": structure, "patient": patients[case], **row}
        for case, record in records.items()
        for structure, row in record.facts["masks"].items()
    ]
    frame = pd.DataFrame(mask_rows, columns=["structure", "segmenter", "patient", *VALUES, *FLAGS])
    means = summarise(frame, ["structure", "segmenter"])
    write_text_atomically(masks_table, means.to_csv(index=False, float_format="%.5g"))
