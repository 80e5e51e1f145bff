"""The model that ships: small enough, whole, and it puts the lungs where it is told."""

import logging
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medsyn2 import LabelMap, MedSyn2Pipeline
from medsyn2.config import Config, SegmentConfig, TokenizerConfig, load_config
from medsyn2.ct.geometry import resample_ct, resample_mask
from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.segmentation import find_again
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_subject
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.shelf import SEED, SPACING_MM
from medsyn2.segmenters import get_segmenter
from medsyn2.weights.bundled import MAX_BYTES, bundled_model, choose_model, initial_tokenizer
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.tensors import load_component

ROOT = Path(__file__).parents[3]
PSNR_DB, LUNGS_DICE = 29.0, 0.9
"""Bounds below the means of held-out cases (docs/reference/bundled-model.md), for the worst of them."""
NUMBER = 3
"""A phantom of the default cohort, of which the model has seen none."""


def test_its_tokenizer_is_the_one_that_the_default_configuration_describes() -> None:
    initial = initial_tokenizer(Config().train_tokenizer.initial_weights)
    assert initial is not None
    assert TokenizerConfig.model_validate(load_component(initial, "tokenizer")[0]) == Config().tokenizer


def test_it_is_whole_small_and_in_float16() -> None:
    folder = bundled_model()
    description = read_description(folder)
    shipped = [path for path in folder.parent.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in shipped) <= MAX_BYTES
    tensors = [
        tensor
        for name in description.files
        if name.endswith(".safetensors")
        for tensor in load_file(folder / name).values()
    ]
    assert {tensor.dtype for tensor in tensors} == {torch.float16}
    assert description.register is not None


def test_its_configuration_is_the_one_beside_the_others() -> None:
    config, folder = load_config(ROOT / "configs/bundled.yaml"), bundled_model()
    description, pipeline = read_description(folder), MedSyn2Pipeline.from_pretrained(folder)
    assert description.grid.shape == config.grid.shape
    assert description.sampling == config.sampling
    assert pipeline.tokenizer.config == config.tokenizer.model_dump()
    assert {name: pipeline.dit.config[name] for name in config.dit.model_dump()} == config.dit.model_dump()


def test_it_has_seen_no_phantom_of_the_shelf_or_of_the_default_cohort() -> None:
    assert load_config(ROOT / "configs/bundled.yaml").phantoms.seed not in {SEED, Config().phantoms.seed}


def test_it_is_taken_where_no_other_is_given_and_says_so(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    with caplog.at_level(logging.INFO):
        assert choose_model(tmp_path) == tmp_path
        assert not caplog.records
        assert choose_model(None) == bundled_model()
    (record,) = caplog.records
    assert "no model is given" in record.message


@pytest.fixture(scope="module")
def pipeline() -> MedSyn2Pipeline:
    return MedSyn2Pipeline.from_pretrained()


@pytest.fixture(scope="module")
def phantom(pipeline: MedSyn2Pipeline) -> tuple[CTVolume, dict[str, np.ndarray]]:
    """A phantom that the model has not seen, with its lobes and lungs, on the model's grid."""
    assert pipeline.reference is not None
    subject = draw_subject(SEED, NUMBER)
    whole = scan(subject, draw_acquisition(subject, SPACING_MM))
    matrix = pipeline.reference.align(whole.volume).template_to_native_lps_mm
    masks = {name: resample_mask(whole.truth[name], pipeline.grid, matrix) for name in ("lobes", "lungs")}
    return resample_ct(whole.volume, pipeline.grid, matrix), masks


@torch.no_grad()
def test_a_ct_comes_back_from_its_tokenizer(pipeline: MedSyn2Pipeline, phantom: tuple[CTVolume, object]) -> None:
    before = torch.from_numpy(phantom[0].hu.astype(np.float32)).clamp(-1024, 1024) / 1024
    after = pipeline.tokenizer.decode(pipeline.tokenizer.encode(before[None, None]).mode())[0, 0].clamp(-1, 1)
    assert 10 * torch.log10(4 / (after - before).square().mean()) > PSNR_DB


def test_lungs_lie_where_the_mask_asks_for_them(
    pipeline: MedSyn2Pipeline, phantom: tuple[CTVolume, dict[str, np.ndarray]]
) -> None:
    masks = phantom[1]
    made = pipeline(mask=LabelMap(masks["lobes"], pipeline.grid.affine_mm), mask_text="lobes", seed=0)
    found = find_again(made.volume, ["lobes"], get_segmenter("classical", SegmentConfig()))["lobes"]
    assert isinstance(found, np.ndarray)
    assert dice(found, masks["lungs"]) > LUNGS_DICE


@pytest.mark.slow
def test_wheels_and_source_archives_carry_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(source)], check=True)
    build = (
        f"from setuptools import build_meta as b; b.build_wheel({str(tmp_path)!r}); b.build_sdist({str(tmp_path)!r})"
    )
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    (wheel,), (archive,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    files = ("model.json", *read_description(bundled_model()).files)
    expected = {f"medsyn2/weights/bundled/model/{name}" for name in files}
    assert expected <= set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(archive) as packed:
        assert expected <= {name.partition("/")[2] for name in packed.getnames()}
