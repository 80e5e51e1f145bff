"""The stage ``encode_latents``: volumes and masks of the training split through the tokenizer."""

import logging
import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medsyn2.config import EncodeLatentsConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import hu_to_unit, mask_to_unit
from medsyn2.errors import EnvironmentFault
from medsyn2.facts import (
    CT_FILE,
    ChannelSums,
    LatentOrigin,
    LatentsFacts,
    LatentSums,
    MasksFacts,
    RegisterFacts,
    mask_file,
)
from medsyn2.files import sha256_of
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import encode_cost, encode_windowed
from medsyn2.nn.device import available_device, move
from medsyn2.nn.precision import precision_on
from medsyn2.store.artefacts import CaseWork, load_manifest, process_shard
from medsyn2.store.latents import EMPTY_MASK, Latents, write_latents
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.weights.networks import load_tokenizer

log = logging.getLogger(__name__)


def encode_latents(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    inference: InferenceConfig,
    *,
    register: Path,
    masks: Path,
    tokenizer: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Encode the volume and every mask of each training case; held-out cases are not needed by the training.

    The latents are the means of the posterior. A shard with cases also gets those of an all-background mask, under
    the name `EMPTY_MASK` as if that were a case. Each record says how its latents were made.
    """
    volumes, masked = load_manifest(register, RegisterFacts), load_manifest(masks, MasksFacts)
    identity = sha256_of(tokenizer)
    cases = [
        CaseWork(
            case,
            {
                "volume": [record.files, record.facts.subject, record.facts.split],
                "masks": [masked.records[case].files, masked.records[case].facts.masks],
                "tokenizer": identity,
            },
        )
        for case, record in volumes.records.items()
        if case in masked.records and record.facts.split == "train"
    ]
    if cases:
        cases.insert(0, CaseWork(EMPTY_MASK, {"tokenizer": identity}))
    encoder = _Encoder(grid, encode_latents, inference, tokenizer)

    def work(case: CaseWork, folder: Path) -> LatentsFacts:
        if case.case == EMPTY_MASK:
            facts = MasksFacts(EMPTY_MASK, "train", {})
            image = encoder.empty_mask()
        else:
            facts = masked.records[case.case].facts
            image = encoder.volume(volumes.path(case.case, CT_FILE))
        present = {name: encoder.mask(masked.path(case.case, mask_file(name))) for name in facts.present}
        write_latents(folder, case.case, image, present)
        sums = LatentSums(_sums(image), {name: _sums(mask) for name, mask in present.items()})
        origin = LatentOrigin(identity, grid.clip_hu, encode_latents.window, encode_latents.overlap, image.shape)
        return LatentsFacts(facts.subject, facts.split, facts.states, sums, origin)

    process_shard("encode_latents", manifest, cases, work, settings=settings, facts=LatentsFacts)


class _Encoder:
    """The tokenizer, loaded when the first case needs it."""

    def __init__(self, grid: GridConfig, config: EncodeLatentsConfig, inference: InferenceConfig, path: Path) -> None:
        self.grid, self.config, self.path = grid, config, path
        self.device = available_device()
        self.precision = precision_on(self.device, inference.precision)
        self.constants: dict[Any, Tensor] = {}

    @cached_property
    def network(self) -> CausalVideoVAE:
        network = load_tokenizer(self.path)
        self._check_memory(network)
        move(network, self.device)
        return network

    def _check_memory(self, network: CausalVideoVAE) -> None:
        """Log the memory that a volume takes, and stop before the first one if the machine has less."""
        cost = encode_cost(network, self.grid.shape, self.config.window, self.config.overlap, self.precision)
        memory = _memory_bytes(self.device)
        log.info(
            "encoding: %.2f TFLOP a volume, at least %.2f of %.1f GiB of memory",
            cost.flops / 1e12,
            cost.peak_bytes / 2**30,
            memory / 2**30,
        )
        if cost.peak_bytes > memory:
            raise EnvironmentFault(
                f"Encoding volumes of {self.grid.shape} voxels with windows {self.config.window} takes at least "
                f"{cost.peak_bytes / 2**30:.1f} GiB, and {self.device} has {memory / 2**30:.1f} GiB.",
                code="environment-memory",
                remedy="set encode_latents.window, to 96 x 96 x 96 for example, or use another machine.",
            )

    def volume(self, path: Path) -> Latents:
        return self.latents(hu_to_unit(read_made_ct(path).hu, self.grid.clip_hu))

    def mask(self, path: Path) -> Latents:
        return self.latents(mask_to_unit(read_made_labels(path).binary()))

    def empty_mask(self) -> Latents:
        return self.latents(mask_to_unit(np.zeros(self.grid.shape, bool)))

    @torch.inference_mode()
    def latents(self, values: Float[np.ndarray, "d h w"]) -> Latents:
        ct = torch.from_numpy(values)[None, None].to(self.device)
        window, overlap = self.config.window, self.config.overlap
        posterior = encode_windowed(self.network, ct, window, overlap, self.constants, self.precision)
        # A value beyond the type's range becomes infinite, which `write_latents` refuses.
        with np.errstate(over="ignore"):
            return posterior.mode()[0].float().cpu().numpy().astype(self.config.dtype)


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _sums(latents: Latents) -> ChannelSums:
    """Return the sums over the latents, as they are stored, from which the statistics of the cohort are computed."""
    channels = [channel.astype(np.float64).ravel() for channel in latents]
    return ChannelSums(
        channels[0].size,
        tuple(float(values.sum()) for values in channels),
        tuple(float(np.square(values).sum()) for values in channels),
    )
