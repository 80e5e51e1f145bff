"""Four small cases and a tokenizer of a few weights that they go through."""

from pathlib import Path

import numpy as np
import torch

from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig, InferenceConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.evaluation.tokenizer.reconstruct import reconstruct
from medsyn2.facts import CT_FILE, MasksFacts, RegisterFacts, mask_file
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.weights.tensors import save_component
from tests.unit.records import masks_facts, register_facts, write_shard

SHAPE = (16, 24, 24)
CLIP_HU = (-1024.0, 1024.0)
GRID = GridConfig(shape=SHAPE, spacing_mm=(4.0, 4.0, 4.0), clip_hu=CLIP_HU)
AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
CASES = {"a": "test", "b": "test", "c": "train", "d": "test"}
_NETWORK = {"hidden_channels": 4, "num_res_blocks": 1, "norm_groups": 2}


def hu_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).integers(-1200, 1200, SHAPE).astype(np.int16)


def mask_of(case: str) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[4:12, 6:18, ord(case) % 5 : 14] = True
    return mask


def make_network() -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(**_NETWORK).eval()


def there_and_back(network: CausalVideoVAE, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        latents = network.encode(torch.from_numpy(values)[None, None]).mode()
        return network.decode(latents)[0, 0].numpy()


def save_network(folder: Path, network: CausalVideoVAE) -> Path:
    tokenizer = folder / "tokenizer.json"
    save_component(tokenizer, network, kind="tokenizer", config=_NETWORK)
    return tokenizer


def reconstruct_cases(tokenizer: Path, cases: str, masked: str, earlier: str = "", **changes: object) -> Path:
    """Reconstruct some cases, after a job that has earlier ones; return the manifest."""
    folder, manifest = tokenizer.parent, tokenizer.parent / "reconstruct/0001.json"

    def register(case: str, folder: Path) -> RegisterFacts:
        write_ct(folder / CT_FILE, CTVolume(hu_of(case), AFFINE))
        return register_facts(f"patient {case}", CASES[case])

    def mask(case: str, folder: Path) -> MasksFacts:
        write_labels(folder / mask_file("heart"), LabelMap(mask_of(case).astype(np.uint8), AFFINE))
        return masks_facts(f"patient {case}", CASES[case], {"heart": "present"})

    reconstruct(
        GRID,
        EncodeLatentsConfig(),
        EvaluateTokenizerConfig(**changes),
        InferenceConfig(),
        register=[write_shard(folder / "register/0001.json", RegisterFacts, cases, register)],
        earlier=[write_shard(folder / "register/0000.json", RegisterFacts, earlier, register)],
        masks=[write_shard(folder / "masks/0001.json", MasksFacts, masked, mask)],
        tokenizer=tokenizer,
        manifest=manifest,
        settings=repr(changes),
    )
    return manifest
