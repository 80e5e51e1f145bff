"""The stage ``evaluate_tokenizer``: what the tokenizer loses of volumes and of masks."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medsyn2.cohort.artefacts import load_manifests
from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig
from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.ct.nifti import read_ct, read_labels
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import EnvironmentFault
from medsyn2.files import write_text_atomically
from medsyn2.metrics.overlap import FLAGS, VALUES, overlap, summarise
from medsyn2.metrics.reconstruction import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.nn.tokenizer import CausalVideoVAE
from medsyn2.nn.windows import decode_windowed, encode_windowed
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights import load_component, load_strictly

IMAGE_VALUES = ["ssim_gaussian", "ssim_box", "psnr_db", "psnr_db_body", "mae_hu", "mae_hu_body"]


def evaluate_tokenizer(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    evaluate_tokenizer: EvaluateTokenizerConfig,
    *,
    register: list[Path],
    masks: list[Path],
    tokenizer: Path,
    images: Path,
    masks_table: Path,
) -> None:
    """Encode and decode held-out volumes and their masks, and compare with what went in.

    Args:
        grid: The model's HU range.
        encode_latents: Windows, as for the latents.
        evaluate_tokenizer: How many cases, and the threshold of decoded masks.
        register: Manifests of the stage register.
        masks: Manifests of the stage masks.
        tokenizer: The trained tokenizer.
        images: CSV of volumes: SSIM in 3-D, PSNR, mean absolute error in HU, in all and inside the body, a row a
            case and their mean.
        masks_table: CSV of masks: overlaps and surface distances, a row a structure, with the counts of empty and
            missed masks.
    """
    config, state = load_component(tokenizer, "tokenizer")
    network = CausalVideoVAE(**config).eval()
    load_strictly(network, state, source=tokenizer)
    image_rows: list[dict[str, object]] = []
    mask_rows: list[dict[str, object]] = []
    masks_of = {case: manifest for manifest in load_manifests(masks) for case in manifest.usable()}
    real = [
        (manifest, case)
        for manifest in load_manifests(register)
        for case, record in manifest.usable().items()
        if record.facts["split"] == "test"
    ]
    for manifest, case in tqdm(real[: evaluate_tokenizer.max_cases], desc="reconstruction", unit="case"):
        volume = read_ct(manifest.path(case, "ct.nii.gz"))
        image_rows.append({"case": case, **_image_row(network, volume, grid, encode_latents)})
        for structure in STRUCTURES if case in masks_of else ():
            path = masks_of[case].path(case, f"{structure}.nii.gz")
            if path.exists():
                row = _mask_row(network, path, encode_latents, evaluate_tokenizer)
                mask_rows.append({"structure": structure, "case": case, **row})
    _write(images, masks_table, image_rows, mask_rows)


def _round_trip(network: CausalVideoVAE, values: np.ndarray, config: EncodeLatentsConfig) -> np.ndarray:
    with torch.inference_mode():
        x = torch.from_numpy(values)[None, None]
        latents = encode_windowed(network, x, config.window, config.overlap).mode()
        return decode_windowed(network, latents, config.window, config.overlap)[0, 0].numpy()


def _image_row(
    network: CausalVideoVAE, volume: CTVolume, grid: GridConfig, config: EncodeLatentsConfig
) -> dict[str, float]:
    low, high = grid.clip_hu
    before = np.clip(volume.hu, low, high)
    after = unit_to_hu(_round_trip(network, hu_to_unit(volume.hu, grid.clip_hu), config), grid.clip_hu)
    body = inside_body(before)
    return {
        "ssim_gaussian": ssim_3d_gaussian(before, after, high - low),
        "ssim_box": ssim_3d_box(before, after, high - low),
        "psnr_db": psnr_db(before, after, high - low),
        "psnr_db_body": psnr_db(before, after, high - low, body),
        "mae_hu": mean_absolute_error_hu(before, after),
        "mae_hu_body": mean_absolute_error_hu(before, after, body),
    }


def _mask_row(
    network: CausalVideoVAE, path: Path, config: EncodeLatentsConfig, evaluation: EvaluateTokenizerConfig
) -> dict[str, object]:
    mask = read_labels(path)
    before = mask.binary()
    after = _round_trip(network, before.astype(np.float32) - 0.5, config) > evaluation.mask_threshold
    return asdict(overlap(after, before, mask.spacing_mm, evaluation.surface_tolerance_mm))


def _write(
    images: Path, masks_table: Path, image_rows: list[dict[str, object]], mask_rows: list[dict[str, object]]
) -> None:
    if not image_rows:
        raise EnvironmentFault(
            "no held-out case could be reconstructed: none is usable.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    frame = pd.DataFrame(image_rows)
    mean = pd.DataFrame([{"case": "mean", **frame[IMAGE_VALUES].mean()}])
    write_text_atomically(images, pd.concat([frame, mean]).to_csv(index=False, float_format="%.5g"))
    frame = pd.DataFrame(mask_rows, columns=["structure", "case", *VALUES, *FLAGS])
    means = summarise(frame, ["structure"])
    write_text_atomically(masks_table, means.to_csv(index=False, float_format="%.5g"))
