import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from medsyn2.cli import main
from medsyn2.config import Config
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import ConfigError, IntegrityError
from medsyn2.facts import MaskState, Report, SampleFacts, TextFacts
from medsyn2.files import sha256_of
from medsyn2.flow import Sampling
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.transformer.dit import DiT
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.stages import STAGES, stage_params
from medsyn2.stages.encode_latents import encode_latents
from medsyn2.stages.encode_prompts import encode_prompts
from medsyn2.stages.encode_text import encode_text
from medsyn2.stages.sample import sample
from medsyn2.stages.train_dit import train_dit
from medsyn2.stages.train_text_encoder import train_text_encoder
from medsyn2.store.artefacts import load_manifest
from medsyn2.store.latents import read_image, read_mask
from medsyn2.vocabulary import STRUCTURES, Split, Structure
from medsyn2.weights.model_folder import ChannelStatistics, read_description
from medsyn2.weights.tensors import load_component, load_strictly, save_component
from tests.unit.records import inventory_facts, masks_facts, register_facts, write_manifest

AFFINE = axis_aligned_affine((4.0, 4.0, 5.0), (-30.0, -40.0, 12.5))
SPLITS: dict[str, Split] = {"a": "train", "b": "train", "c": "test", "d": "train"}
SHAPE = (16, 32, 16)


def config(**training: Any) -> Config:
    return Config.model_validate(
        {
            "grid": {"shape": list(SHAPE), "spacing_mm": [4.0, 4.0, 5.0]},
            "tokenizer": {"hidden_channels": 4, "latent_channels": 4, "norm_groups": 2},
            "train_text_encoder": {"hidden_size": 8, "num_layers": 1, "num_steps": 0, "vocabulary_size": 200},
            "dit": {"width": 12, "depth": 1, "num_heads": 2},
            "train_dit": {"num_steps": 6, "batch_size": 2, "checkpoint_every": 2, **training},
        }
    )


def hu_of(case: str) -> np.ndarray:
    return np.random.default_rng(ord(case)).integers(-1000, 1000, SHAPE).astype(np.int16)


def report_of(case: str) -> Report | None:
    return Report(f"Heart of size {case}.", "Normal.") if case != "b" else None


def states_of(case: str) -> dict[Structure, MaskState]:
    states: dict[Structure, MaskState] = {**dict.fromkeys(STRUCTURES, "absent"), "heart": "empty"}
    return states if case == "d" else {**states, "lobes": "present"}


def write_volume(case: str, folder: Path) -> None:
    write_ct(folder / "ct.nii.gz", CTVolume(hu_of(case), AFFINE))


def write_masks(case: str, folder: Path) -> None:
    if case != "d":
        write_labels(folder / "lobes.nii.gz", LabelMap((hu_of(case) > 500).astype(np.uint8), AFFINE))


@dataclass(frozen=True)
class Inputs:
    """Everything that the training is made from, by the stages that make it."""

    root: Path

    def path(self, name: str) -> Path:
        return self.root / name

    def prepare(self) -> None:
        settings = config()
        listed = {case: inventory_facts(case, split, report_of(case)) for case, split in SPLITS.items()}
        write_manifest(self.path("inventory/0000.json"), listed)
        registered = {case: register_facts(case, split) for case, split in SPLITS.items()}
        write_manifest(self.path("register/0000.json"), registered, write_volume)
        masked = {case: masks_facts(case, split, states_of(case)) for case, split in SPLITS.items()}
        write_manifest(self.path("masks/0000.json"), masked, write_masks)
        torch.manual_seed(0)
        values = settings.tokenizer.model_dump(mode="json")
        tokenizer, encoder = self.path("tokenizer/tokenizer.json"), self.path("text_encoder/encoder.json")
        save_component(tokenizer, CausalVideoVAE(**values), kind="tokenizer", config=values)
        encode_latents(
            settings.grid,
            settings.encode_latents,
            settings.inference,
            register=self.path("register/0000.json"),
            masks=self.path("masks/0000.json"),
            tokenizer=tokenizer,
            manifest=self.path("latents/0000.json"),
            settings=stage_params(settings, "encode_latents"),
        )
        inventory = self.path("inventory/0000.json")
        train_text_encoder(
            settings.train_text_encoder,
            inventory=[inventory],
            encoder=encoder,
            settings=stage_params(settings, "train_text_encoder"),
        )
        folder = encoder.with_suffix("")
        encode_prompts(settings.encode_text, encoder=folder, prompts=self.path("prompts/prompts.json"), settings="")
        encode_text(
            settings.encode_text,
            inventory=inventory,
            encoder=folder,
            manifest=self.path("text/0000.json"),
            settings=stage_params(settings, "encode_text"),
        )
        write_ct(self.path("template.nii.gz"), CTVolume(hu_of("t"), AFFINE))
        write_labels(self.path("lungs.nii.gz"), LabelMap(np.ones(hu_of("t").shape, np.uint8), AFFINE))
        files = {name: sha256_of(self.path(name)) for name in ("template.nii.gz", "lungs.nii.gz")}
        write_sealed(self.path("template.json"), {"files": files})


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    inputs = Inputs(tmp_path_factory.mktemp("inputs"))
    inputs.prepare()
    return inputs


FILES = {
    "latents": "latents/0000.json",
    "text": "text/0000.json",
    "prompts": "prompts/prompts.json",
    "tokenizer": "tokenizer/tokenizer.json",
    "encoder": "text_encoder/encoder",
    "template": "template.json",
}


def run(inputs: Inputs, root: Path, settings: Config, **changed: Any) -> Path:
    folder = root / "train_dit"
    paths = {option: inputs.path(name) for option, name in FILES.items()}
    options: dict[str, Any] = {
        **paths,
        "latents": [paths["latents"]],
        "text": [paths["text"]],
        "model": folder / "model" / "model.json",
        "loss": folder / "loss.csv",
        "settings": stage_params(settings, "train_dit"),
    }
    sections = (settings.section(name) for name in STAGES["train_dit"].sections)
    train_dit(*sections, **(options | changed))
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    paths = [folder / "loss.csv", *sorted((folder / "model").rglob("*"))]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.is_file()}


def test_the_folder_describes_the_model_and_what_it_has_seen(prepared: Inputs, tmp_path: Path) -> None:
    folder = run(prepared, tmp_path, config()) / "model"
    model = read_description(folder)
    assert model.grid.shape == SHAPE
    np.testing.assert_allclose(model.grid.affine_mm, AFFINE, atol=1e-4)
    assert model.latents.shape == (4, 4, 4, 2)
    assert model.text.width == 8
    assert (model.text.max_report_tokens, model.text.max_prompt_tokens) == (512, 32)
    assert (model.training.num_cases, model.training.num_reports) == (3, 2)
    assert model.training.structures == {"lobes": 2}
    assert {"dit.safetensors", "tokenizer.safetensors", "text_encoder/vocab.txt"} <= set(model.files)
    stored = [read_image(prepared.path(f"latents/0000/{case}")) for case in "abd"]
    images = np.concatenate([image.astype(np.float64).reshape(4, -1) for image in stored], axis=1)
    np.testing.assert_allclose(model.latents.image.mean, images.mean(axis=1))
    np.testing.assert_allclose(model.latents.image.std, images.std(axis=1))
    masks = [read_mask(prepared.path(f"latents/0000/{case}"), "lobes") for case in "ab"]
    joined = np.concatenate([mask.astype(np.float64).reshape(4, -1) for mask in masks], axis=1)
    np.testing.assert_allclose(model.latents.mask.mean, joined.mean(axis=1))


def test_masks_are_normalised_as_asked_in_training_and_in_sampling(prepared: Inputs, tmp_path: Path) -> None:
    pooled = run(prepared, tmp_path / "pooled", config()) / "model"
    assert read_description(pooled).latents.masks == {}
    settings = config(mask_statistics="by_structure", mode_probabilities=[0, 1, 0, 0])
    folder = run(prepared, tmp_path / "own", settings) / "model"
    described = read_description(folder).latents
    assert described.masks == {"lobes": described.mask}  # the only structure that has masks here
    own = replace(described, masks={"lobes": ChannelStatistics((1.0,) * 4, (0.5,) * 4)})
    pipeline = MedSyn2Pipeline.from_pretrained(folder)
    mask = LabelMap((hu_of("a") > 500).astype(np.uint8), AFFINE)
    shown = []
    for latents in (described, own):
        pipeline.description = replace(pipeline.description, latents=latents)
        for words in ("lung lobes", "a fracture"):
            recipe = pipeline.recipe(mask=mask, mask_text=words)
            shown.append(pipeline._encode(recipe.mask, recipe.words, recipe.precision).numpy())
    stored = read_mask(prepared.path("latents/0000/a"), "lobes").astype(np.float32)
    mean, std = (np.array(values, np.float32)[:, None, None, None] for values in vars(described.mask).values())
    for found, expected in zip(
        shown, [(stored - mean) / std] * 2 + [(stored - 1) / 0.5, (stored - mean) / std], strict=True
    ):
        np.testing.assert_allclose(found[0], expected, atol=2e-2)


def test_the_pipeline_makes_a_volume_with_it(prepared: Inputs, tmp_path: Path) -> None:
    pipeline = MedSyn2Pipeline.from_pretrained(run(prepared, tmp_path, config()) / "model")
    made = pipeline("Heart of size a.", seed=1, sampling=Sampling("euler", 2))
    assert made.volume.shape == SHAPE
    np.testing.assert_allclose(made.volume.affine_mm, AFFINE, atol=1e-4)


def test_the_exported_weights_are_the_moving_average(prepared: Inputs, tmp_path: Path) -> None:
    folder = run(prepared, tmp_path, config())
    values, state = load_component(folder / "model" / "dit.json", "dit")
    load_strictly(DiT(**values), state, source="dit.json")
    (checkpoint,) = folder.glob("checkpoints/*/step_00000006.json")
    _, tensors = load_component(checkpoint, "checkpoint")
    for name, tensor in state.items():
        assert torch.equal(tensor, tensors[f"dit/average/{name}"])


def test_the_table_of_losses_has_the_losses_by_time(prepared: Inputs, tmp_path: Path) -> None:
    folder = run(prepared, tmp_path, config())
    rows = [line.split(",") for line in (folder / "loss.csv").read_text("utf-8").splitlines()]
    assert rows[0] == ["step", "loss", *(f"loss_t{n}" for n in range(10)), "gradient_norm", "learning_rate"]
    assert len(rows) == 1 + 6
    for row in rows[1:]:
        seen = [float(cell) for cell in row[2:12] if cell]
        assert min(seen) - 1e-4 <= float(row[1]) <= max(seen) + 1e-4


def test_the_same_inputs_give_the_same_bytes_and_no_second_training(prepared: Inputs, tmp_path: Path) -> None:
    first, second = run(prepared, tmp_path / "one", config()), run(prepared, tmp_path / "two", config())
    expected = outputs(first)
    assert expected == outputs(second)
    (first / "model" / "model.json").unlink()
    (first / "loss.csv").unlink()
    kept = {path: path.stat().st_mtime_ns for path in (first / "checkpoints").glob("*/step_*")}
    assert outputs(run(prepared, tmp_path / "one", config())) == expected
    assert {path: path.stat().st_mtime_ns for path in (first / "checkpoints").glob("*/step_*")} == kept


def test_another_sampling_is_another_description_of_the_same_model(prepared: Inputs, tmp_path: Path) -> None:
    folder = run(prepared, tmp_path, config())
    before, first = outputs(folder), read_description(folder / "model")
    kept = {path: path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*/step_*")}
    other = replace(config().sampling, num_steps=3, guidance_mask=1.5)
    after = outputs(run(prepared, tmp_path, config().model_copy(update={"sampling": other})))
    assert [name for name in before if before[name] != after[name]] == ["model/README.md", "model/model.json"]
    assert read_description(folder / "model") == replace(first, sampling=other)
    assert {path: path.stat().st_mtime_ns for path in (folder / "checkpoints").glob("*/step_*")} == kept


def test_the_model_samples_by_itself_as_the_stage_sample_of_its_run(prepared: Inputs, tmp_path: Path) -> None:
    sampling = Sampling("euler", 3, guidance_report=1.5, guidance_mask=2.5)
    settings = config().model_copy(update={"sampling": sampling})
    model = run(prepared, tmp_path, settings) / "model"
    inputs = {name: prepared.path(f"{name}/0000.json") for name in ("inventory", "register", "masks")}
    manifest = tmp_path / "sample/0000.json"
    sample(
        settings.sample,
        sampling,
        settings.inference,
        model=model / "model.json",
        **inputs,
        manifest=manifest,
        settings="",
    )
    (case,) = load_manifest(manifest, SampleFacts).records
    of_run = manifest.with_suffix("") / case
    assert {path.name for path in of_run.glob("*.nii.gz")} >= {"report.nii.gz", "lobes.nii.gz"}
    mask, seed = prepared.path(f"masks/0000/{case}/lobes.nii.gz"), derive_seed(0, case, "lobes")
    asked = ["--mask", mask, "--mask-text", "lung lobes", "--seed", seed, "--output", tmp_path / "made.nii.gz"]
    assert main(["generate", "--model", str(model), *map(str, asked)]) == 0
    assert (tmp_path / "made.nii.gz").read_bytes() == (of_run / "lobes.nii.gz").read_bytes()


def test_what_is_computed_again_changes_no_byte_of_the_weights(prepared: Inputs, tmp_path: Path) -> None:
    plain, *others = (
        outputs(run(prepared, tmp_path / mode, config(checkpointing=mode)))["model/dit.safetensors"]
        for mode in ("none", "selective", "full")
    )
    assert others == [plain, plain]


def test_the_authors_layout_trains_and_samples(prepared: Inputs, tmp_path: Path) -> None:
    settings = Config.model_validate(
        {**config().model_dump(by_alias=True), "dit": {"width": 12, "depth": 1, "num_heads": 2, "layout": "official"}}
    )
    pipeline = MedSyn2Pipeline.from_pretrained(run(prepared, tmp_path, settings) / "model")
    assert pipeline.dit.layout == "official"
    assert pipeline(seed=1, sampling=Sampling("warped_midpoint", 2)).volume.shape == SHAPE


def test_an_interrupted_training_ends_with_the_same_bytes(prepared: Inputs, tmp_path: Path) -> None:
    run(prepared, tmp_path / "two", config(num_steps=4))
    assert outputs(run(prepared, tmp_path / "two", config())) == outputs(run(prepared, tmp_path / "one", config()))


def test_another_seed_is_another_model(prepared: Inputs, tmp_path: Path) -> None:
    first = read_description(run(prepared, tmp_path / "one", config()) / "model")
    second = read_description(run(prepared, tmp_path / "two", config(seed=1)) / "model")
    assert first.fingerprint != second.fingerprint
    assert first.files["dit.safetensors"] != second.files["dit.safetensors"]


def test_it_learns_the_cases(prepared: Inputs, tmp_path: Path) -> None:
    settings = config(num_steps=150, batch_size=3, learning_rate=3e-3, checkpoint_every=150)
    rows = (run(prepared, tmp_path, settings) / "loss.csv").read_text("utf-8").splitlines()[1:]
    losses = [float(row.split(",")[1]) for row in rows]
    assert np.median(losses[-30:]) < 0.7 * np.median(losses[:30])


def test_latents_of_another_tokenizer_are_refused(prepared: Inputs, tmp_path: Path) -> None:
    other = tmp_path / "tokenizer.json"
    values = config().tokenizer.model_dump(mode="json")
    torch.manual_seed(1)
    save_component(other, CausalVideoVAE(**values), kind="tokenizer", config=values)
    with pytest.raises(ConfigError, match="inputs-disagree"):
        run(prepared, tmp_path, config(), tokenizer=other)


def test_a_damaged_description_of_the_tokenizer_is_damage_and_no_other_tokenizer(
    prepared: Inputs, tmp_path: Path
) -> None:
    damaged = tmp_path / "tokenizer.json"
    text = (prepared.path("tokenizer") / "tokenizer.json").read_text("utf-8")
    damaged.write_text(text.replace('"latent_channels"', '"latent_channel3"'), encoding="utf-8")
    with pytest.raises(IntegrityError, match=f"output-damaged.*rm {damaged}"):
        run(prepared, tmp_path, config(), tokenizer=damaged)


def test_prompts_of_another_text_encoder_are_refused(prepared: Inputs, tmp_path: Path) -> None:
    shutil.copytree(prepared.path("prompts"), tmp_path / "prompts")
    path = tmp_path / "prompts" / "prompts.json"
    write_sealed(path, read_sealed(path) | {"encoder": {"model.safetensors": "00"}})
    with pytest.raises(ConfigError, match="inputs-disagree"):
        run(prepared, tmp_path, config(), prompts=path)


def test_a_patch_that_does_not_divide_the_latents_is_refused(prepared: Inputs, tmp_path: Path) -> None:
    settings = config().model_copy(update={"dit": config().dit.model_copy(update={"patch": (3, 2, 2)})})
    with pytest.raises(ConfigError, match="patch-invalid"):
        run(prepared, tmp_path, settings)


def test_shards_that_do_not_belong_together_are_refused(prepared: Inputs, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="shards-differ"):
        run(prepared, tmp_path, config(), text=[])
    with pytest.raises(ConfigError, match="no-training-cases"):
        run(prepared, tmp_path, config(), latents=[], text=[])
    assert load_manifest(prepared.path("text/0000.json"), TextFacts).records


def in_a_process_of_its_own(inputs: Inputs, folder: Path, settings: Config, processes: int = 1) -> Any:
    """Return the losses of a training that the command makes; the tests' checks of types cannot be compiled."""
    command = [sys.executable, "-m", "medsyn2", "train_dit", "--processes", str(processes)]
    command += ["--config", stage_params(settings, "train_dit")]
    for option, name in FILES.items():
        command += [f"--{option}", str(inputs.path(name))]
    command += ["--model", str(folder / "model/model.json"), "--loss", str(folder / "loss.csv")]
    subprocess.run(command, check=True)
    return np.genfromtxt(folder / "loss.csv", delimiter=",")[1:, 1]


@pytest.mark.slow
def test_a_compiled_network_learns_the_same(prepared: Inputs, tmp_path: Path) -> None:
    plain, compiled = (
        in_a_process_of_its_own(prepared, tmp_path / str(compile), config(compile=compile)) for compile in (False, True)
    )
    np.testing.assert_allclose(compiled, plain, rtol=1e-4)


@pytest.mark.slow
def test_processes_that_share_the_network_learn_the_same(prepared: Inputs, tmp_path: Path) -> None:
    """With blocks computed again in the backward pass, and what they are computed from gathered again."""
    one, two = (
        in_a_process_of_its_own(
            prepared, tmp_path / strategy, config(strategy=strategy, accumulate=2, checkpointing="selective"), processes
        )
        for strategy, processes in (("ddp", 1), ("fsdp", 2))
    )
    np.testing.assert_allclose(two, one, rtol=1e-4)
    weights = [load_component(tmp_path / name / "model/dit.json", "dit")[1] for name in ("ddp", "fsdp")]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-3, atol=1e-5)
