"""What goes through the tokenizer is kept, by the job whose case it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from medsyn2.config import EncodeLatentsConfig, EvaluateTokenizerConfig, GridConfig, InferenceConfig
from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import WeightsError
from medsyn2.evaluation.tokenizer.reconstruct import reconstruct
from medsyn2.facts import CT_FILE, MasksFacts, ReconstructionFacts, RegisterFacts, mask_file
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.store.artefacts import Record, load_manifest
from medsyn2.weights.tensors import save_component
from tests.unit.records import masks_facts, register_facts, write_shard

SHAPE = (16, 24, 24)
CLIP_HU = (-1024.0, 1024.0)
GRID = GridConfig(shape=SHAPE, spacing_mm=(4.0, 4.0, 4.0), clip_hu=CLIP_HU)
AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
NETWORK = {"hidden_channels": 4, "num_res_blocks": 1, "norm_groups": 2}
CASES = {"a": "test", "b": "test", "c": "train", "d": "test"}
MASK = np.zeros(SHAPE, dtype=np.uint8)
MASK[4:12, 6:18, 3:14] = 1

Records = dict[str, Record[ReconstructionFacts]]


def hu_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).integers(-1200, 1200, SHAPE).astype(np.int16)


@pytest.fixture
def network() -> CausalVideoVAE:
    torch.manual_seed(0)
    return CausalVideoVAE(**NETWORK).eval()


@pytest.fixture
def run(tmp_path: Path, network: CausalVideoVAE) -> Callable[..., Records]:
    """Reconstruct some cases, after a job that has earlier ones."""
    tokenizer = tmp_path / "tokenizer.json"
    save_component(tokenizer, network, kind="tokenizer", config=NETWORK)

    def reconstructed(cases: str, earlier: str = "", **changes: object) -> Records:
        def registered(case: str, folder: Path) -> RegisterFacts:
            write_ct(folder / CT_FILE, CTVolume(hu_of(case), AFFINE))
            return register_facts(f"patient {case}", CASES[case])

        def masked(case: str, folder: Path) -> MasksFacts:
            write_labels(folder / mask_file("heart"), LabelMap(MASK, AFFINE))
            return masks_facts(f"patient {case}", CASES[case], {"heart": "present"})

        manifest = tmp_path / "reconstruct/0001.json"
        reconstruct(
            GRID,
            EncodeLatentsConfig(),
            EvaluateTokenizerConfig(**changes),
            InferenceConfig(),
            register=[write_shard(tmp_path / "register/0001.json", RegisterFacts, cases, registered)],
            earlier=[write_shard(tmp_path / "register/0000.json", RegisterFacts, earlier, registered)],
            masks=[write_shard(tmp_path / "masks/0001.json", MasksFacts, cases, masked)],
            tokenizer=tokenizer,
            manifest=manifest,
            settings=repr(changes),
        )
        return load_manifest(manifest, ReconstructionFacts).records

    return reconstructed


def there_and_back(network: CausalVideoVAE, values: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        latents = network.encode(torch.from_numpy(values)[None, None]).mode()
        return network.decode(latents)[0, 0].numpy()


def test_what_comes_back_is_kept_and_not_made_again(run, network) -> None:
    records = run("abc")
    assert list(records) == ["a", "b"]
    assert records["b"].facts.subject == "patient b"
    after = unit_to_hu(there_and_back(network, hu_to_unit(hu_of("b"), CLIP_HU)), CLIP_HU)
    np.testing.assert_array_equal(read_ct(records["b"].path(CT_FILE)).hu, after)
    mask = there_and_back(network, MASK.astype(np.float32) - 0.5) > 0
    np.testing.assert_array_equal(read_labels(records["b"].path("heart.nii.gz")).labels > 0, mask)
    written = records["b"].path(CT_FILE).stat().st_mtime_ns
    assert run("abc")["b"].path(CT_FILE).stat().st_mtime_ns == written


@pytest.mark.parametrize(("max_cases", "left"), [(None, "bd"), (3, "bd"), (2, "b"), (1, "")])
def test_cases_of_earlier_jobs_count(run, max_cases: int | None, left: str) -> None:
    assert list(run("bd", earlier="ac", max_cases=max_cases)) == list(left)


def test_damaged_weights_are_not_used(run, tmp_path: Path) -> None:
    weights = tmp_path / "tokenizer.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(WeightsError, match="weights-damaged"):
        run("a")
