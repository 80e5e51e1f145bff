"""The stage ``encode_latents``: volumes and masks of the training split through the tokenizer, into a store."""

import json
import logging
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from medsyn2.config import EncodeLatentsConfig, GridConfig
from medsyn2.ct.intensity import hu_to_unit, mask_to_unit
from medsyn2.errors import EnvironmentFault, IntegrityError
from medsyn2.files import sha256_of, write_json
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.autoencoder.windows import encode_cost, encode_windowed
from medsyn2.nn.device import available_device
from medsyn2.nn.memory_format import move
from medsyn2.store.artefacts import CaseWork, Record, load_manifest, process_shard
from medsyn2.store.latents import EMPTY_MASK, Latents, LatentStore, MaskState
from medsyn2.store.read_artefact import read_made_ct, read_made_labels
from medsyn2.vocabulary import STRUCTURES, Structure
from medsyn2.weights.networks import load_tokenizer

log = logging.getLogger(__name__)

ROW = "row.json"


def encode_latents(
    grid: GridConfig,
    encode_latents: EncodeLatentsConfig,
    *,
    register: Path,
    masks: Path,
    tokenizer: Path,
    manifest: Path,
    settings: str,
) -> None:
    """Encode the volume and every mask of each training case; held-out cases are not needed by the training.

    The latents are the means of the posterior, in one Zarr store a shard, beside the manifest. A case's folder
    holds the sha256 of each file of its row; a row that is not there, or not those bytes, is made again.

    Args:
        grid: Shape and HU range of the volumes.
        encode_latents: Windows and precision.
        register: Manifest of the registered volumes of this shard.
        masks: Manifest of the masks of this shard.
        tokenizer: The trained tokenizer.
        manifest: Manifest of this stage.
        settings: Canonical JSON of the settings and the code version.
    """
    volumes, drawn = load_manifest(register), load_manifest(masks)
    identity = sha256_of(tokenizer)
    cases = [
        CaseWork(
            case,
            {
                "volume": [record.files, record.facts["subject"], record.facts["split"]],
                "masks": [drawn.usable()[case].files, drawn.usable()[case].facts["masks"]],
                "tokenizer": identity,
            },
            inputs=volumes.path(case, "ct.nii.gz"),
        )
        for case, record in volumes.usable().items()
        if case in drawn.usable() and record.facts["split"] == "train"
    ]
    encoder = _Encoder(grid, encode_latents, tokenizer)
    rows = _Rows(encoder, manifest.with_suffix(".zarr"), [case.case for case in cases])

    def work(case: CaseWork, folder: Path) -> Mapping[str, Any]:
        states = _states(drawn.usable()[case.case])
        image = encoder.volume(case.inputs)
        found = {
            name: encoder.mask(drawn.path(case.case, f"{name}.nii.gz"))
            for name, state in states.items()
            if state == "present"
        }
        files = rows.store.write(case.case, image, found, states)
        write_json(folder / ROW, {"files": files})
        return {
            "subject": volumes.records[case.case].facts["subject"],
            "split": volumes.records[case.case].facts["split"],
            "masks": states,
            "sums": {"image": _sums([image], rows.dtype), "mask": _sums(list(found.values()), rows.dtype)},
        }

    def intact(record: Record) -> bool:
        try:
            row = json.loads((manifest.with_suffix("") / record.case / ROW).read_text(encoding="utf-8"))
            return rows.store.store.holds(record.case, row["files"])
        except (OSError, ValueError, KeyError):
            return False

    process_shard("encode_latents", manifest, cases, work, settings=settings, intact=intact)


class _Encoder:
    """The tokenizer, loaded when the first case needs it."""

    def __init__(self, grid: GridConfig, config: EncodeLatentsConfig, path: Path) -> None:
        self.grid, self.config, self.path = grid, config, path
        self.device = available_device()
        self.constants: dict[Any, Tensor] = {}

    @cached_property
    def network(self) -> CausalVideoVAE:
        network = load_tokenizer(self.path)
        self._check_memory(network)
        move(network, self.device)
        return network

    def _check_memory(self, network: CausalVideoVAE) -> None:
        """Say what a volume is going to take, and stop before the first one if the machine has less."""
        cost = encode_cost(network, self.grid.shape, self.config.window, self.config.overlap)
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

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.network.latent_channels, *self.network.latent_shape(self.grid.shape)

    def volume(self, path: Path) -> Latents:
        return self.latents(hu_to_unit(read_made_ct(path).hu, self.grid.clip_hu))

    def mask(self, path: Path) -> Latents:
        return self.latents(mask_to_unit(read_made_labels(path).binary()))

    def empty_mask(self) -> Latents:
        return self.latents(mask_to_unit(np.zeros(self.grid.shape, bool)))

    @torch.inference_mode()
    def latents(self, values: Float[np.ndarray, "d h w"]) -> Latents:
        ct = torch.from_numpy(values)[None, None].to(self.device)
        posterior = encode_windowed(
            self.network, ct, self.config.window, self.config.overlap, constants=self.constants
        )
        return posterior.mode()[0].float().cpu().numpy()


class _Rows:
    """The shard's store, opened when it is first needed: by then the shard's lock is held."""

    def __init__(self, encoder: _Encoder, path: Path, cases: list[str]) -> None:
        self.encoder, self.path, self.cases = encoder, path, cases

    @property
    def dtype(self) -> str:
        return self.encoder.config.dtype

    @cached_property
    def store(self) -> LatentStore:
        encoder = self.encoder
        about = {
            "tokenizer": sha256_of(encoder.path),
            "clip_hu": list(encoder.grid.clip_hu),
            "window": None if encoder.config.window is None else list(encoder.config.window),
            "overlap": encoder.config.overlap,
        }
        store = LatentStore.open_for_writing(
            self.path, self.cases, shape=encoder.shape, dtype=self.dtype, about=about
        )
        try:
            store.image(EMPTY_MASK)
        except IntegrityError:
            store.write_empty_mask(encoder.empty_mask())
        return store


def _memory_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[1]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _states(record: Record) -> dict[Structure, MaskState]:
    facts = record.facts["masks"]
    return {name: facts[name]["state"] if name in facts else "absent" for name in STRUCTURES}


def _sums(latents: list[Latents], dtype: str) -> dict[str, Any]:
    """Return what the statistics of the cohort are added up from, of the latents as they are stored."""
    channels = [
        np.concatenate([volume[z].astype(dtype).astype(np.float64).ravel() for volume in latents])
        for z in range(len(latents[0]) if latents else 0)
    ]
    return {
        "count": len(channels[0]) if channels else 0,
        "sum": [float(values.sum()) for values in channels],
        "sum_of_squares": [float(np.square(values).sum()) for values in channels],
    }
