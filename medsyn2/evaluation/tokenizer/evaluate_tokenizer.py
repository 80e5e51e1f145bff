"""The stage ``evaluate_tokenizer``: the loss of volumes and masks in the tokenizer."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import hu_to_unit, mask_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES, overlap, summarise
from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.evaluation.statistics.bootstrap import prepend_means
from medsyn2.facts import CT_FILE, ImageQuality, MaskQuality, ReconstructionFacts, mask_file
from medsyn2.files import sha256_of, write_table
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
from medsyn2.nn.device import available_device
from medsyn2.nn.precision import precision_on
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import Structure
from medsyn2.weights.networks import load_tokenizer

IMAGE_VALUES = ["ssim_gaussian", "ssim_box", "psnr_db", "psnr_db_body", "mae_hu", "mae_hu_body"]


def evaluate_tokenizer(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    evaluate_tokenizer: EvaluateTokenizerConfig,
    inference: InferenceConfig,
    *,
    register: list[Path],
    masks: list[Path],
    tokenizer: Path,
    manifest: Path,
    images: Path,
    masks_table: Path,
    settings: str,
) -> None:
    """Encode and decode held-out volumes and their masks, and compare both with the originals.

    Reconstructions are kept with the manifest, for evaluate_masks.
    """
    round_trip = _RoundTrip(tokenizer, encode_latents, inference)
    held_out = {case.name: case for case in load_cases(register, masks=masks)[: evaluate_tokenizer.max_cases]}
    identity = sha256_of(tokenizer)
    cases = [
        CaseWork(
            case.name, {"tokenizer": identity, "ct": case.registered.files, "masks": case.masked and case.masked.files}
        )
        for case in held_out.values()
    ]

    def work(work: CaseWork, folder: Path) -> ReconstructionFacts:
        case = held_out[work.case]
        image = _image(round_trip, case.read(), grid, folder / CT_FILE)
        of_masks = {
            structure: _mask(round_trip, case, structure, evaluate_tokenizer, folder) for structure in case.structures
        }
        return ReconstructionFacts(image, of_masks)

    done = process_shard("evaluate_tokenizer", manifest, cases, work, settings=settings, facts=ReconstructionFacts)
    _write(images, masks_table, {held_out[case]: record.facts for case, record in done.records.items()})


class _RoundTrip:
    """The tokenizer there and back, loaded when the first case needs it."""

    def __init__(self, tokenizer: Path, config: EncodeLatentsConfig, inference: InferenceConfig) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.device = available_device()
        self.precision = precision_on(self.device, inference.precision)

    @cached_property
    def network(self) -> CausalVideoVAE:
        return load_tokenizer(self.tokenizer, self.device)

    @torch.inference_mode()
    def __call__(self, values: Float[np.ndarray, "d h w"]) -> Float[np.ndarray, "d h w"]:
        x, window, overlap = torch.from_numpy(values)[None, None], self.config.window, self.config.overlap
        latents = encode_windowed(self.network, x.to(self.device), window, overlap, precision=self.precision).mode()
        unit = decode_windowed(self.network, latents, window, overlap, self.precision)
        decoded: Float[np.ndarray, "d h w"] = unit[0, 0].cpu().numpy()
        return decoded


def _image(round_trip: _RoundTrip, volume: CTVolume, grid: GridConfig, place: Path) -> ImageQuality:
    low, high = grid.clip_hu
    before = np.clip(volume.hu, low, high)
    after = unit_to_hu(round_trip(hu_to_unit(volume.hu, grid.clip_hu)), grid.clip_hu)
    write_ct(place, CTVolume(after, volume.affine_mm))
    body = inside_body(before)
    return ImageQuality(
        ssim_gaussian=ssim_3d_gaussian(before, after, high - low),
        ssim_box=ssim_3d_box(before, after, high - low),
        psnr_db=psnr_db(before, after, high - low),
        psnr_db_body=psnr_db(before, after, high - low, body),
        mae_hu=mean_absolute_error_hu(before, after),
        mae_hu_body=mean_absolute_error_hu(before, after, body),
    )


def _mask(
    round_trip: _RoundTrip, case: Case, structure: Structure, config: EvaluateTokenizerConfig, folder: Path
) -> MaskQuality:
    mask = case.mask(structure)
    before = mask.binary()
    after = round_trip(mask_to_unit(before)) > config.mask_threshold
    write_labels(folder / mask_file(structure), LabelMap(after.astype(np.uint8), mask.affine_mm))
    found = asdict(overlap(after, before, mask.spacing_mm, config.surface_tolerance_mm))
    # JSON knows no NaN.
    defined: dict[str, Any] = {name: None if value != value else value for name, value in found.items()}
    return MaskQuality(case.segmenter(structure), **defined)


def _write(images: Path, masks_table: Path, found: Mapping[Case, ReconstructionFacts]) -> None:
    if not found:
        raise EnvironmentFault(
            "no held-out case could be reconstructed: none is usable.",
            code="too-few-cases",
            remedy="lower cohort.test_every, add cases, or look at results/quarantine.csv for lost ones.",
        )
    rows = [{"case": case.name, "patient": case.subject, **vars(facts.image)} for case, facts in found.items()]
    means = prepend_means(pd.DataFrame(rows, columns=["case", "patient", *IMAGE_VALUES]), IMAGE_VALUES)
    write_table(images, means)
    mask_rows = [
        {"structure": structure, "patient": case.subject, **vars(quality)}
        for case, facts in found.items()
        for structure, quality in facts.masks.items()
    ]
    frame = pd.DataFrame(mask_rows, columns=["structure", "segmenter", "patient", *VALUES, *FLAGS])
    means = summarise(frame, ["structure", "segmenter"])
    write_table(masks_table, means)
