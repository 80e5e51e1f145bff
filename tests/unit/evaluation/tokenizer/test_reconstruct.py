"""What goes through the tokenizer is kept, by the job whose case it is."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.intensity import hu_to_unit, unit_to_hu
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.errors import WeightsError
from medsyn2.facts import CT_FILE, ReconstructionFacts
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.store.artefacts import Record, load_manifest
from tests.unit.evaluation.tokenizer.small_cases import (
    CLIP_HU,
    hu_of,
    make_network,
    mask_of,
    reconstruct_cases,
    save_network,
    there_and_back,
)

Records = dict[str, Record[ReconstructionFacts]]


@pytest.fixture
def network() -> CausalVideoVAE:
    return make_network()


@pytest.fixture
def run(tmp_path: Path, network: CausalVideoVAE) -> Callable[..., Records]:
    """Reconstruct some cases, after a job that has earlier ones."""
    tokenizer = save_network(tmp_path, network)

    def reconstructed(cases: str, earlier: str = "", **changes: object) -> Records:
        return load_manifest(
            reconstruct_cases(tokenizer, cases, cases, earlier, **changes), ReconstructionFacts
        ).records

    return reconstructed


def test_what_comes_back_is_kept_and_not_made_again(run, network) -> None:
    records = run("abc")
    assert list(records) == ["a", "b"]
    assert records["b"].facts.subject == "patient b"
    after = unit_to_hu(there_and_back(network, hu_to_unit(hu_of("b"), CLIP_HU)), CLIP_HU)
    np.testing.assert_array_equal(read_ct(records["b"].path(CT_FILE)).hu, after)
    mask = there_and_back(network, mask_of("b").astype(np.float32) - 0.5) > 0
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
