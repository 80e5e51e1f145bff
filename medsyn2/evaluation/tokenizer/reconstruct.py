"""The stage ``reconstruct``: held-out volumes and masks through the tokenizer and back."""

from dataclasses import asdict
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float

from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import hu_to_unit, mask_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.evaluation.held_out import Case, load_cases
from medsyn2.evaluation.similarity.overlap import overlap
from medsyn2.evaluation.similarity.volumes import (
    inside_body,
    mean_absolute_error_hu,
    psnr_db,
    ssim_3d_box,
    ssim_3d_gaussian,
)
from medsyn2.facts import CT_FILE, DECODED, ImageQuality, MaskQuality, ReconstructionFacts, mask_file
from medsyn2.files import sha256_of
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import decode_windowed, encode_windowed
from medsyn2.nn.device import available_device
from medsyn2.nn.precision import precision_on
from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.vocabulary import Structure
from medsyn2.weights.networks import load_tokenizer


def reconstruct(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    evaluate_tokenizer: EvaluateTokenizerConfig,
    inference: InferenceConfig,
    *,
    register: list[Path],
    earlier: list[Path],
    masks: list[Path],
    tokenizer: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Encode and decode the volume and the masks of held-out cases, and compare both with the originals.

    The first ``evaluate_tokenizer.max_cases`` of the cohort are taken, of which other jobs take those in `earlier`.
    What comes back is kept, for evaluations that compare with it.
    """
    round_trip = _RoundTrip(tokenizer, encode_latents, inference)
    held_out = {case.name: case for case in load_cases(register, masks=masks)}
    if evaluate_tokenizer.max_cases is not None:
        left = max(evaluate_tokenizer.max_cases - len(load_cases(earlier)), 0)
        held_out = dict(islice(held_out.items(), left))
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
        return ReconstructionFacts(case.subject, case.split, image, of_masks)

    process_shard("reconstruct", manifest, cases, work, settings=settings, facts=ReconstructionFacts)


class _RoundTrip:
    """The tokenizer there and back, loaded when the first case needs it."""

    def __init__(self, tokenizer: Path, config: EncodeLatentsConfig, inference: InferenceConfig) -> None:
        self.tokenizer, self.config = tokenizer, config
        self.device = available_device()
        self.precision = precision_on(self.device, inference.precision)
        self.constants: dict[Any, torch.Tensor] = {}

    @cached_property
    def network(self) -> CausalVideoVAE:
        return load_tokenizer(self.tokenizer, self.device)

    @torch.inference_mode()
    def __call__(self, values: Float[np.ndarray, "d h w"]) -> Float[np.ndarray, "d h w"]:
        x, window, overlap = torch.from_numpy(values)[None, None], self.config.window, self.config.overlap
        posterior = encode_windowed(
            self.network, x.to(self.device), window, overlap, self.constants, precision=self.precision
        )
        unit = decode_windowed(self.network, posterior.mode(), window, overlap, self.precision)
        decoded: Float[np.ndarray, "d h w"] = unit[0, 0].cpu().numpy()
        return decoded


def _image(round_trip: _RoundTrip, volume: CTVolume, grid: GridConfig, place: Path) -> ImageQuality:
    low, high = grid.clip_hu
    before = np.clip(volume.hu, low, high)
    after = unit_to_hu(round_trip(hu_to_unit(volume.hu, grid.clip_hu)), grid.clip_hu)
    write_ct(place, CTVolume(after, volume.affine_mm), description=DECODED)
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
    write_labels(folder / mask_file(structure), LabelMap(after.astype(np.uint8), mask.affine_mm), description=DECODED)
    found = asdict(overlap(after, before, mask.spacing_mm, config.surface_tolerance_mm))
    # JSON knows no NaN.
    defined: dict[str, Any] = {name: None if value != value else value for name, value in found.items()}
    return MaskQuality(case.segmenter(structure), **defined)
