"""A folder with the authors' names and layouts, small and random, becomes a model that samples."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medsyn2.cli import main
from medsyn2.ct.volume import LabelMap
from medsyn2.flow import Sampling
from medsyn2.flow.solvers import solve
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.nn.transformer.layers import positions
from medsyn2.nn.transformer.official_weights import load_official
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES
from medsyn2.weights.conversion.official import IMAGE_STATISTICS, MASK_STATISTICS, PROMPT_FILES
from medsyn2.weights.model_folder import read_description

GOLDEN = Path(__file__).parents[2] / "golden"
TOKEN_GRID = (11, 1, 1)
SHAPE = (88, 16, 16)
OPTIONS = ["--num-heads", "2", "--token-grid", "11", "1", "1"]
SENTENCE = "[PAD] [UNK] [CLS] [SEP] [MASK] a no nodule in the heart effusion . image segmentation is"
VOCABULARY = SENTENCE.split(" ")
REPORT = "A nodule in the heart."
FAST = {"seed": 5, "sampling": Sampling("warped_midpoint", 2, 1e-7, guidance_mask=1.0)}


def released_dit() -> dict[str, torch.Tensor]:
    """A small transformer of one block by the authors' names."""
    shapes = json.loads((GOLDEN / "dit_official_keys.json").read_text("utf-8"))
    sizes = {1152: 24, 768: 8, 4608: 96, 2304: 48, 10368: 216}
    generator = torch.Generator().manual_seed(0)
    state = {
        name: 0.2 * torch.randn([sizes.get(size, size) for size in shape], generator=generator)
        for name, shape in shapes.items()
        if "blocks." not in name or "blocks.0." in name
    }
    return {**state, "denoise_fn.pos_embed": positions(TOKEN_GRID, 24, torch.device("cpu"))[None]}


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    """The authors' folder, as they name what is in it."""
    from transformers import BertConfig, BertForMaskedLM

    folder = tmp_path_factory.mktemp("release")
    (folder / "final_ckpt").mkdir()
    torch.save(released_dit(), folder / "final_ckpt" / "pytorch_model.bin")
    torch.save({"scale": 1.0}, folder / "final_ckpt" / "scaler.pt")
    torch.manual_seed(1)
    vae = CausalVideoVAE(32, (1, 1, 1, 1), num_res_blocks=1, depth_mode="uniform_paper", layout="official")
    with torch.no_grad():  # where their statistics say that masks of most structures are
        vae.quant_conv.bias[:4] = torch.tensor([2.2, 5.5, 1.45, -14.0])
    state = {**vae.state_dict(), "loss.logvar": torch.zeros(())}
    torch.save({"state_dict": state, "epoch": 3}, folder / "vae.ckpt")
    config = BertConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=2048,
    )
    (folder / "pretrained_lm").mkdir()
    torch.save(BertForMaskedLM(config).state_dict(), folder / "pretrained_lm" / "pytorch_model.bin")
    (folder / "base").mkdir()
    published = {**config.to_dict(), "max_position_embeddings": 512, "model_type": "cxr-bert"}
    (folder / "base" / "config.json").write_text(json.dumps(published), encoding="utf-8")
    (folder / "base" / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    (folder / "extra_prompts_gen").mkdir()
    generator = np.random.default_rng(2)
    for name in [*PROMPT_FILES.values(), "gen_report.npy"]:
        tokens = 16 if name == "gen_report.npy" else 32
        array = generator.normal(size=(1, tokens, 8)).astype(np.float32)
        np.save(folder / "extra_prompts_gen" / name, array)
    return folder


def convert(release: Path, to: Path, *options: str) -> int:
    return main(
        ["convert", "official", str(release), "--base", str(release / "base"), "--to", str(to), *OPTIONS, *options]
    )


@pytest.fixture(scope="module")
def model(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "model"
    assert convert(release, folder) == 0
    return folder


@pytest.fixture(scope="module")
def pipeline(model):
    return MedSyn2Pipeline.from_pretrained(model)


@pytest.fixture(scope="module")
def mask(pipeline):
    inside = np.zeros(SHAPE, bool)
    inside[20:50, 4:12, 3:9] = True
    return LabelMap(inside, pipeline.grid.affine_mm)


def test_what_stands_in_their_code_alone_is_recorded(model):
    description = read_description(model)
    assert description.grid.clip_hu == (-1024.0, 600.0)
    assert description.grid.shape == SHAPE
    assert description.latents.shape == (4, 22, 2, 2)
    assert set(description.latents.masks) == set(STRUCTURES)
    mean = description.latents.masks["heart"].mean
    assert mean == tuple(np.float16(MASK_STATISTICS["heart"][0]).astype(float))
    assert mean != MASK_STATISTICS["heart"][0]
    assert description.latents.image.std[0] == float(np.float16(IMAGE_STATISTICS[1][0]))
    text = description.text
    assert (text.max_report_tokens, text.max_prompt_tokens, text.padded) == (192, 32, True)
    assert description.sampling == Sampling("warped_midpoint", 49, 1e-7, guidance_mask=1.0)
    assert "non-commercial" in description.licence
    assert "1.0 mm" in description.training.note


def test_it_says_what_differs_and_the_licence(release, tmp_path, capsys):
    assert convert(release, tmp_path / "model") == 0
    said = capsys.readouterr().out
    for word in ("0.7 mm", "consolidation", "wrong sign", "non-commercial", "redistribution"):
        assert word in said


def test_the_same_folder_gives_the_same_bytes_and_a_full_place_is_refused(release, model, tmp_path, capsys):
    assert convert(release, tmp_path / "again") == 0
    files = sorted(path.relative_to(model) for path in model.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "again") for p in (tmp_path / "again").rglob("*") if p.is_file())
    assert all((model / file).read_bytes() == (tmp_path / "again" / file).read_bytes() for file in files)
    assert convert(release, model) == 2
    assert "[output-exists]" in capsys.readouterr().err


def test_it_samples_what_their_equation_gives(release, pipeline):
    """The network by their tensors, their text by hand, and the solver: the pipeline's latents."""
    made = pipeline(REPORT, **FAST)
    weights = load_official(released_dit(), num_heads=2, grid=TOKEN_GRID)
    dit = DiT(**weights.config)
    dit.load_state_dict(weights.state)
    prompt = torch.from_numpy(np.load(release / "extra_prompts_gen" / "empty_msk.npy"))
    report = pipeline.text_encoder.encode_padded([REPORT], 192).embeddings
    text = torch.cat((prompt, report), dim=1)
    assert text.shape == (1, 224, 8)
    noise = torch.randn(1, 4, 22, 2, 2, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        expected = solve(lambda z, t: dit(z, t, torch.zeros_like(z), text), noise, FAST["sampling"])
    torch.testing.assert_close(made.latents, expected, atol=1e-5, rtol=1e-5)
    assert made.recipe.sampling.solver == "warped_midpoint"
    assert made.volume.shape == SHAPE
    np.testing.assert_allclose(made.volume.spacing_mm, (0.7, 0.7, 0.7))
    assert made.volume.hu.min() >= -1024
    assert made.volume.hu.max() <= 600


def test_masks_are_encoded_in_chunks_with_the_statistics_of_their_structure(pipeline, mask):
    seen = torch.from_numpy(mask.labels.astype(np.float32) - 0.5)[None, None]
    with torch.inference_mode():
        chunks = [pipeline.tokenizer.encode(part).mode() for part in (seen[:, :, :80], seen[:, :, 80:])]
        stored = torch.cat(chunks, dim=2)
        for name in STRUCTURES:
            mean, std = (torch.tensor(np.float16(values)).float() for values in MASK_STATISTICS[name])
            expected = (stored - mean[:, None, None, None]) / std[:, None, None, None]
            found = pipeline._encode(mask.labels, STRUCTURE_WORDS[name], pipeline.precision)
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_every_condition_counts_and_a_consolidation_out_of_range_is_noted(pipeline, mask):
    alone = pipeline(mask=mask, mask_text="heart", **FAST)
    volumes = [pipeline(**FAST), pipeline(REPORT, **FAST), alone]
    volumes.append(pipeline(REPORT, mask=mask, mask_text="heart", **FAST))
    volumes.append(pipeline(mask=mask, mask_text="consolidation", **FAST))
    for index, one in enumerate(volumes):
        assert one.latents.isfinite().all()
        assert not any(torch.equal(one.latents, other.latents) for other in volumes[index + 1 :])
    notes = volumes[-1].recipe.notes
    assert any("'consolidation' are up to" in note for note in notes)
    assert not any("'heart' are up to" in note for note in alone.recipe.notes)
    assert not any("no training case" in note for note in notes)


def test_the_command_line_samples_it_and_makes_it_again(model, tmp_path):
    one, again = tmp_path / "one.nii.gz", tmp_path / "again.nii.gz"
    asked = ["--report", REPORT, "--steps", "1", "--output", str(one)]
    assert main(["generate", "--model", str(model), *asked]) == 0
    sidecar = json.loads((tmp_path / "one.json").read_text("utf-8"))
    assert Sampling(**sidecar["sampling"]) == Sampling("warped_midpoint", 1, 1e-7, guidance_mask=1.0)
    made_again = ["--from-sidecar", str(tmp_path / "one.json"), "--output", str(again)]
    assert main(["generate", "--model", str(model), *made_again]) == 0
    assert one.read_bytes() == again.read_bytes()


def test_the_default_is_their_solver_with_98_evaluations(pipeline):
    steps = []
    for step in pipeline.steps(pipeline.recipe()):
        if step.phase == "decode":
            break
        steps.append((step.done, step.total))
    assert steps[-1] == (49, 49)


@pytest.mark.parametrize(
    "gone",
    ["final_ckpt/pytorch_model.bin", "vae.ckpt", "pretrained_lm/pytorch_model.bin", "extra_prompts_gen/path_ggo.npy"],
)
def test_a_missing_file_is_named(release, tmp_path, gone, capsys):
    copy = shutil.copytree(release, tmp_path / "release")
    (copy / gone).unlink()
    assert convert(copy, tmp_path / "model") == 14
    said = capsys.readouterr().err
    assert "[official-incomplete]" in said
    assert Path(gone).name in said
    assert "1 files are missing" in said
    assert not (tmp_path / "model").exists()


def test_all_that_is_missing_is_named_at_once(tmp_path, capsys):
    assert convert(tmp_path, tmp_path / "model") == 14
    said = capsys.readouterr().err
    assert "13 files are missing" in said
    assert "vae.ckpt" in said


def test_other_shapes_are_named(release, tmp_path, capsys):
    from transformers import BertConfig, BertForMaskedLM

    def refuse(change) -> str:
        copy = shutil.copytree(release, tmp_path / "release")
        change(copy)
        assert convert(copy, tmp_path / "model") == 14
        assert not (tmp_path / "model").exists()
        shutil.rmtree(copy)
        return capsys.readouterr().err

    def smaller_block(copy):
        state = released_dit()
        state["denoise_fn.blocks.0.attn.proj.bias"] = torch.zeros(23)
        torch.save(state, copy / "final_ckpt" / "pytorch_model.bin")

    assert "blocks.0.attn.proj.bias (23,) instead of (24,)" in refuse(smaller_block)

    def drop_tensor(copy):
        content = torch.load(copy / "vae.ckpt")
        del content["state_dict"]["decoder.mid.attn_1.q.bias"]
        torch.save(content, copy / "vae.ckpt")

    assert "1 missing: decoder.mid.attn_1.q.bias" in refuse(drop_tensor)

    def another_tokenizer(copy):
        vae = CausalVideoVAE(32, (1, 1, 1, 1), num_res_blocks=1)
        torch.save(vae.state_dict(), copy / "vae.ckpt")

    assert "of the layout 'v1.2'" in refuse(another_tokenizer)

    def short_prompt(copy):
        np.save(copy / "extra_prompts_gen" / "ana_lobe.npy", np.zeros((1, 16, 8), np.float32))

    said = refuse(short_prompt)
    assert "ana_lobe.npy" in said
    assert "(1, 16, 8)" in said

    def wider_language_model(copy):
        config = BertConfig(
            vocab_size=len(VOCABULARY), hidden_size=12, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        torch.save(BertForMaskedLM(config).state_dict(), copy / "pretrained_lm" / "pytorch_model.bin")
        (copy / "base" / "config.json").write_text(json.dumps(config.to_dict()), encoding="utf-8")

    assert "reads text of width 8 and 4 latent channels, the text encoder gives 12" in refuse(wider_language_model)


def test_prompts_and_tensors_are_theirs(release, model):
    prompts = load_file(model / "prompts.safetensors")
    assert len(prompts) == 10
    theirs = np.load(release / "extra_prompts_gen" / "path_pleffu.npy")[0]
    np.testing.assert_array_equal(prompts["pleural_effusion"].numpy(), theirs)
    tokenizer = load_file(model / "tokenizer.safetensors")
    content = torch.load(release / "vae.ckpt")["state_dict"]
    assert all(torch.equal(tensor, content[name]) for name, tensor in tokenizer.items())
