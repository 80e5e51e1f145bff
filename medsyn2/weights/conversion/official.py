"""The model that the authors of MedSyn2 released: their files, and constants from their code.

    final_ckpt/             the transformer (``official_weights.py``)
    vae.ckpt                the tokenizer, layout ``official`` (``tokenizer.py``)
    pretrained_lm/          the text encoder, MedSyn's (``text_encoder.py``)
    extra_prompts_gen/      ten pre-prompts as embeddings, (1, tokens, width) each, ``.npy``

Statistics of the latents, HU range, numbers of tokens and the solver are in their scripts only, and are constants
here; statistics are rounded to half precision as theirs are. The network attends to the padding of pre-prompts and of
reports, which are truncated to 192 tokens.

Source: batmanlab/MedSynV2 at 5be924c: figures only, no code.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from medsyn2.config import TokenizerConfig
from medsyn2.errors import WeightsError
from medsyn2.flow.sampling import Sampling
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.layers import TokenGrid
from medsyn2.nn.transformer.official_weights import OfficialWeights, load_official
from medsyn2.vocabulary import Structure
from medsyn2.weights.conversion.checkpoints import FOLDER, NETWORKS, network_file, read_weights
from medsyn2.weights.conversion.text_encoder import ConvertedEncoder, convert_encoder
from medsyn2.weights.conversion.tokenizer import TRAINING_ONLY, build_tokenizer
from medsyn2.weights.tensors import load_strictly

VAE, LANGUAGE_MODEL, PROMPTS = "vae.ckpt", "pretrained_lm", "extra_prompts_gen"

CLIP_HU = (-1024.0, 600.0)
SPACING_MM = (0.7, 0.7, 0.7)
MAX_REPORT_TOKENS, MAX_PROMPT_TOKENS = 192, 32
SAMPLING = Sampling("warped_midpoint", 49, 1e-7, guidance_mask=1.0)
"""The solver of their code."""
MASK_CHUNK = 80
"""Slices per chunk of their encoding of masks."""
DECODE_WINDOW, DECODE_OVERLAP = (64, 256, 256), 0.1
"""Voxels of their decoding windows: 16 x 32 x 32 latents."""
CHANNELS = 4

LICENCE = (
    "Custom Academic License for Model Weights (LICENSE_WEIGHTS.txt of batmanlab/MedSynV2): academic, "
    "non-commercial use only, no redistribution."
)

DIFFERENCES = (
    "Volumes have a spacing of 0.7 mm, the paper's; the authors' convert.py loses it and writes 1.0 mm. Their "
    "template is not public: the origin is 0.",
    "The statistics of consolidation are of another scale than those of all other masks, so its latents are "
    "probably far outside of them; a mask whose latents are over 20 standard deviations away is warned of.",
    "Volumes from a report alone are solved by the same equation as those with a mask; the one in their "
    "medsynv2_DiT_reportonly.py has the wrong sign and ends in infinities.",
    "Masks are encoded as the mean of their latents, not as an unseeded draw; windows are blended with other "
    "weights; nothing is computed in half precision and the volume is rounded, not cut off, to whole HU.",
    "Masks of lobes are to be their boundaries, dilated by a ball of 3 voxels.",
    "The wording of their pre-prompts is not public: their embeddings are used for the nine structures and for "
    "no mask; other words go into a sentence of this project, with statistics pooled over the eight others.",
)
"""Differences between volumes of the converted model and of the authors' scripts."""

Statistics = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each channel."""

IMAGE_STATISTICS: Statistics = (
    (0.8824114, -0.051992204, 1.1762542, -7.0781837),
    (3.4852407, 5.1318316, 4.399875, 3.8425775),
)
MASK_STATISTICS: dict[Structure, Statistics] = {
    "lobes": ((1.6398076, 3.988608, 1.0285985, -10.314252), (1.9901804, 2.4358141, 1.884654, 2.492379)),
    "airways": ((2.185043, 5.434302, 1.486879, -14.069491), (1.0382589, 1.1419985, 0.6198819, 1.2998749)),
    "vessels": ((1.8914073, 4.157799, 1.571526, -11.400889), (1.6818109, 1.7393458, 1.1529821, 2.427308)),
    "heart": ((1.677869, 5.143252, 0.9597176, -12.662287), (2.3454425, 1.4271269, 2.0748055, 2.4220674)),
    "nodules": ((1.8867295, 5.4893284, 1.1319814, -13.561167), (2.182885, 1.1296502, 1.6234175, 2.117792)),
    "ground_glass": ((2.120977, 5.287014, 1.4342078, -13.763023), (1.1449654, 1.3086046, 0.838108, 1.6218491)),
    "consolidation": ((-0.8596495, 9.748561, -4.030914, 0.20274788), (0.13218798, 1.1483095, 0.46476543, 0.27000445)),
    "pleural_effusion": ((2.1982493, 5.633169, 1.4147488, -14.4075), (0.96593255, 1.0451757, 0.67296726, 1.2834657)),
    "pericardial_effusion": (
        (2.2425787, 5.654407, 1.4436094, -14.502524),
        (0.8545741, 0.98988974, 0.44174922, 1.1419139),
    ),
}
PROMPT_FILES: dict[Structure | None, str] = {
    None: "empty_msk.npy",
    "lobes": "ana_lobe.npy",
    "airways": "ana_airway.npy",
    "vessels": "ana_vessel.npy",
    "heart": "ana_heart.npy",
    "nodules": "path_nodule.npy",
    "ground_glass": "path_ggo.npy",
    "consolidation": "path_cons.npy",
    "pleural_effusion": "path_pleffu.npy",
    "pericardial_effusion": "path_perieffu.npy",
}
"""Files of their pre-prompts; None for no mask."""


@dataclass(frozen=True)
class OfficialFolder:
    """Paths of the released model's parts."""

    network: Path  # File of the transformer
    vae: Path  # File of the tokenizer
    language_model: Path  # Folder or file of the text encoder's weights
    # Folder with the text encoder's configuration and vocabulary; None for that of its weights
    base: Path | None
    prompts: Path  # Folder of the pre-prompts


@dataclass(frozen=True)
class OfficialModel:
    """The released model under this package's names, with every tensor checked."""

    dit: OfficialWeights  # The transformer
    dit_origin: Mapping[str, str]  # File and sha256 of the transformer
    tokenizer_config: TokenizerConfig  # Configuration of the tokenizer
    tokenizer: CausalVideoVAE
    tokenizer_origin: Mapping[str, str]  # File and sha256 of the tokenizer
    encoder: ConvertedEncoder  # The text encoder
    prompts: Mapping[Structure | None, Tensor]  # Token embeddings of the pre-prompts; None for no mask


def half(values: tuple[float, ...]) -> tuple[float, ...]:
    """Round to half precision, as the authors' statistics are."""
    return tuple(float(value) for value in np.asarray(values, np.float16))


def pool_mask_statistics() -> Statistics:
    """Pool the statistics of masks with equal weight of each structure, except consolidation, whose scale differs."""
    kinds = [values for name, values in MASK_STATISTICS.items() if name != "consolidation"]
    means, stds = (np.array([kind[i] for kind in kinds]) for i in range(2))
    mean = means.mean(axis=0)
    std = np.sqrt((stds**2 + means**2).mean(axis=0) - mean**2)
    return tuple(mean.tolist()), tuple(std.tolist())


def find_official(
    folder: Path, *, language_model: Path | None = None, base: Path | None = None, prompts: Path | None = None
) -> OfficialFolder:
    """Find every part of the released model.

    Args:
        language_model: Folder or file of the text encoder's weights, if elsewhere.
        base: Folder with its configuration and vocabulary, if not that of the weights.
        prompts: Folder of the pre-prompts, if elsewhere.

    Raises:
        WeightsError: If files are missing; all of them are named.
    """
    found = OfficialFolder(
        network_file(folder),
        folder / VAE,
        network_file(language_model or folder / LANGUAGE_MODEL),
        base,
        prompts or folder / PROMPTS,
    )
    missing = []
    if not found.network.is_file():
        missing.append(f"{folder / FOLDER / NETWORKS[0]} (or {NETWORKS[1]})")
    if not found.vae.is_file():
        missing.append(str(found.vae))
    if not found.language_model.is_file():
        missing.append(f"{found.language_model / NETWORKS[1]} (or {NETWORKS[0]})")
    missing += [str(found.prompts / name) for name in PROMPT_FILES.values() if not (found.prompts / name).is_file()]
    if missing:
        raise WeightsError(
            f"the released model is not whole, {len(missing)} files are missing: {', '.join(missing)}.",
            code="official-incomplete",
            remedy="put final_ckpt and vae.ckpt (huggingface.co/batmanLab/MedSynV2), pretrained_lm (linked there) "
            "and extra_prompts_gen (github.com/batmanlab/MedSynV2) into one folder, or give --language-model and "
            "--prompts.",
        )
    return found


def read_official(folder: OfficialFolder, *, num_heads: int, token_grid: TokenGrid) -> OfficialModel:
    """Read and check every part and their consistency.

    Raises:
        WeightsError: If a tensor is missing, unexpected or of another shape, or the parts do not match.
    """
    network = read_weights(folder.network)
    dit = load_official(network.state, num_heads=num_heads, grid=token_grid)
    with torch.device("meta"):
        built = DiT(**dit.config)
    load_strictly(built.to_empty(device="cpu"), dit.state, source=folder.network)
    vae = read_weights(folder.vae, drop=TRAINING_ONLY)
    config, tokenizer = build_tokenizer(vae.state, source=str(folder.vae))
    if config.layout != "official":
        raise WeightsError(
            f"{folder.vae} is a tokenizer of the layout {config.layout!r}, expected the authors' ('official').",
            code="official-parts",
            remedy="give the authors' vae.ckpt; others are converted by `medsyn2 convert tokenizer`.",
        )
    encoder = convert_encoder(folder.language_model, folder.base)
    width = encoder.config["hidden_size"]
    channels = (dit.config["latent_channels"], config.latent_channels)
    if dit.config["text_width"] != width or channels != (CHANNELS, CHANNELS):
        raise WeightsError(
            f"the parts do not fit: the transformer reads text of width {dit.config['text_width']} and "
            f"{channels[0]} latent channels, the text encoder gives {width}, the tokenizer {channels[1]}, and their "
            f"statistics are of {CHANNELS} channels.",
            code="official-parts",
            remedy="give the text encoder and the tokenizer that were released with the transformer.",
        )
    prompts = {name: read_prompt(folder.prompts / file, width) for name, file in PROMPT_FILES.items()}
    return OfficialModel(dit, network.origin, config, tokenizer, vae.origin, encoder, prompts)


def read_prompt(path: Path, width: int) -> Tensor:
    """Read a pre-prompt's embedding, (tokens, width) in float32.

    Raises:
        WeightsError: If it has another shape or values that are not finite.
    """
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise WeightsError(
            f"{path} is no NumPy array: {error}.", code="weights-unreadable", remedy="copy it again."
        ) from error
    tokens = values[0] if values.ndim == 3 and len(values) == 1 else values
    if tokens.shape != (MAX_PROMPT_TOKENS, width) or tokens.dtype.kind != "f" or not np.isfinite(tokens).all():
        raise WeightsError(
            f"{path} is {values.dtype} of shape {values.shape}, expected finite numbers of shape "
            f"{(1, MAX_PROMPT_TOKENS, width)}.",
            code="official-prompt",
            remedy="give the authors' extra_prompts_gen, whose width is that of the text encoder.",
        )
    return torch.from_numpy(tokens.astype(np.float32))
