"""The stage ``train_tokenizer``: the tokenizer, from crops of the training split's volumes."""

import logging
import shutil
from pathlib import Path

import torch

from medsyn2.config import GridConfig, TokenizerConfig, TrainTokenizerConfig, schedule_notes
from medsyn2.errors import ConfigError
from medsyn2.facts import CT_FILE, RegisterFacts
from medsyn2.files import sha256_of, write_atomically
from medsyn2.nn.autoencoder.start import start_from_walsh
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.device import available_device, order_weights
from medsyn2.nn.perceptual import Perceptual
from medsyn2.store.artefacts import load_records
from medsyn2.training.engine.fabric import is_first_process
from medsyn2.training.engine.identity import claim_checkpoints, identity_of
from medsyn2.training.engine.learner import LoopSettings
from medsyn2.training.engine.loop import LOSSES, train
from medsyn2.training.tokenizer.crops import Crops, CropSettings
from medsyn2.training.tokenizer.objective import TOKENIZER, tokenizer_learners
from medsyn2.weights.bundled import initial_tokenizer
from medsyn2.weights.tensors import load_component, load_strictly, save_component

log = logging.getLogger(__name__)

KIND, PERCEPTUAL = "tokenizer", "perceptual"


def train_tokenizer(
    grid: GridConfig,
    tokenizer: TokenizerConfig,
    train_tokenizer: TrainTokenizerConfig,
    *,
    register: list[Path],
    weights: Path,
    loss: Path,
    settings: str,
) -> None:
    """Train the tokenizer on random crops of the registered volumes of the training split.

    Checkpoints go into the folder ``checkpoints`` beside the weights, those of each identity into a folder of its own
    (``medsyn2/training/engine/identity.py``). A training that was interrupted goes on from the last one and ends with
    the same bits; one whose settings and volumes are those of an earlier run is not made again; a longer one goes on
    from where the shorter one ended. Several processes, started by torchrun, share the crops of a step.
    """
    volumes = {
        case: record for case, record in load_records(register, RegisterFacts).items() if record.facts.split == "train"
    }
    crops = CropSettings(
        grid.shape, train_tokenizer.crop_shape, grid.clip_hu, train_tokenizer.mask_share, train_tokenizer.seed
    )
    data = Crops(
        [(case, record.place(CT_FILE)) for case, record in volumes.items()],
        crops,
        digests={record.place(CT_FILE): record.sha256(CT_FILE) for record in volumes.values()},
    )
    initial = initial_tokenizer(train_tokenizer.initial_weights)
    perceptual = Path(train_tokenizer.perceptual_weights) if train_tokenizer.perceptual_weights else None
    identity = identity_of(
        settings,
        "train_tokenizer",
        [[case, record.files] for case, record in volumes.items()],
        sha256_of(initial) if initial else None,
        *([sha256_of(perceptual)] if perceptual else []),
    )
    torch.manual_seed(train_tokenizer.seed)
    network = _network(tokenizer, initial, train_tokenizer.seed)
    network.latent_shape(train_tokenizer.crop_shape)
    order_weights(network, available_device())
    for note in schedule_notes("train_tokenizer", train_tokenizer):
        log.warning("%s", note)
    log.info("tokenizer: %d volumes, %d steps", len(volumes), train_tokenizer.num_steps)
    with claim_checkpoints(weights.parent / "checkpoints", identity, train_tokenizer.num_steps) as folder:
        averages = train(
            tokenizer_learners(network, train_tokenizer, _perceptual(perceptual)),
            data,
            LoopSettings.of(train_tokenizer),
            folder=folder,
            identity=identity.sha256,
        )
        if is_first_process():
            write_atomically(loss, lambda partial: shutil.copyfile(folder / LOSSES, partial))
            save_component(weights, averages[TOKENIZER], kind=KIND, config=tokenizer.model_dump(mode="json"))


def _network(config: TokenizerConfig, initial: Path | None, seed: int) -> CausalVideoVAE:
    network = CausalVideoVAE(**config.model_dump())
    if initial is None:
        start_from_walsh(network, torch.Generator().manual_seed(seed))
        return network
    found, state = load_component(initial, KIND)
    differences = [
        f"{key} {found.get(key)!r} instead of {value!r}"
        for key, value in config.model_dump().items()
        if found.get(key) != value
    ]
    if differences:
        raise ConfigError(
            f"The tokenizer of train_tokenizer.initial_weights ({initial}) is not the one that the section "
            f"tokenizer describes: {'; '.join(differences)}.",
            code="tokenizer-differs",
            remedy="set the section tokenizer to the values in that file, or train_tokenizer.initial_weights to null, "
            "which trains from scratch; for another depth_mode, convert the weights again with "
            "`medsyn2 convert tokenizer --depth-mode`.",
        )
    load_strictly(network, state, source=initial)
    return network


def _perceptual(path: Path | None) -> Perceptual | None:
    if path is None:
        return None
    config, state = load_component(path, PERCEPTUAL)
    network = Perceptual(**config)
    load_strictly(network, state, source=path)
    log.info("the tokenizer trains with the perceptual loss of %s", path)
    return network
