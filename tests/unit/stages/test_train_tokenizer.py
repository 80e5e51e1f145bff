from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from medsyn2.config import Config
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import ConfigError, NonFiniteLossError
from medsyn2.facts import CT_FILE, RegisterFacts
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE
from medsyn2.nn.perceptual import Perceptual
from medsyn2.page.figures import curves_png, find_losses
from medsyn2.stages import stage_params
from medsyn2.stages.train_tokenizer import train_tokenizer
from medsyn2.weights.tensors import load_component, load_strictly, save_component
from tests.unit.records import register_facts, write_shard

SPLITS = {"a": "train", "b": "train", "c": "test"}


def config(**training: Any) -> Config:
    return Config.model_validate(
        {
            "grid": {"shape": [16, 24, 24], "spacing_mm": [4.0, 4.0, 4.0]},
            "tokenizer": {"hidden_channels": 4, "latent_channels": 4, "norm_groups": 2},
            "train_tokenizer": {
                "num_steps": 6,
                "crop_shape": [8, 16, 16],
                "checkpoint_every": 2,
                "learning_rate": 3e-3,
                "initial_weights": None,
                **training,
            },
        }
    )


def write_volume(case: str, folder: Path) -> RegisterFacts:
    axes = np.meshgrid(*(np.linspace(-1, 1, size) for size in (16, 24, 24)), indexing="ij")
    radius = np.sqrt(sum(axis**2 for axis in axes)) * (1 + 0.1 * ord(case) % 1)
    hu = np.where(radius < 0.7, 40, -900).astype(np.int16)
    if case == "c":
        hu = np.full_like(hu, 3000)
    affine = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
    write_ct(folder / CT_FILE, CTVolume(hu, affine))
    return register_facts(case, SPLITS[case])


def registered(root: Path, cases: str = "abc") -> Path:
    return write_shard(root / "register" / "0000.json", RegisterFacts, cases, write_volume)


def run(root: Path, settings: Config, cases: str = "abc") -> Path:
    folder = root / "train_tokenizer"
    train_tokenizer(
        settings.grid,
        settings.tokenizer,
        settings.train_tokenizer,
        register=[registered(root, cases)],
        weights=folder / "tokenizer.json",
        loss=folder / "loss.csv",
        settings=stage_params(settings, "train_tokenizer"),
    )
    return folder


def outputs(folder: Path) -> dict[str, bytes]:
    names = ("tokenizer.json", "tokenizer.safetensors", "loss.csv")
    return {name: (folder / name).read_bytes() for name in names}


def test_the_weights_load_into_the_network_their_description_builds(tmp_path: Path) -> None:
    folder = run(tmp_path, config())
    values, state = load_component(folder / "tokenizer.json", "tokenizer")
    network = CausalVideoVAE(**values)
    load_strictly(network, state, source="tokenizer.json")
    assert network.encode(torch.zeros(1, 1, 16, 24, 24)).mode().shape == (1, 4, 4, 3, 3)
    assert len((folder / "loss.csv").read_text("utf-8").splitlines()) == 1 + 6


def test_it_learns(tmp_path: Path) -> None:
    folder = run(tmp_path, config(num_steps=60, checkpoint_every=60, mask_share=0, warmup_steps=5))
    rows = [line.split(",") for line in (folder / "loss.csv").read_text("utf-8").splitlines()]
    l1 = [float(row[rows[0].index("l1")]) for row in rows[1:]]
    assert np.mean(l1[-10:]) < 0.6 * np.mean(l1[:10])


def test_the_same_settings_and_volumes_give_the_same_bytes_and_no_second_training(tmp_path: Path) -> None:
    first, second = run(tmp_path / "one", config()), run(tmp_path / "two", config())
    expected = outputs(first)
    assert expected == outputs(second)
    for name in expected:
        (first / name).unlink()
    kept = {path: path.stat().st_mtime_ns for path in (first / "checkpoints").glob("*/step_*")}
    assert outputs(run(tmp_path / "one", config())) == expected
    assert {path: path.stat().st_mtime_ns for path in (first / "checkpoints").glob("*/step_*")} == kept


def test_a_setting_that_is_changed_and_put_back_costs_no_second_training(tmp_path: Path) -> None:
    expected = outputs(run(tmp_path, config()))
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("step_*")}
    assert outputs(run(tmp_path, config(seed=1))) != expected
    assert outputs(run(tmp_path, config(num_steps=2))) != expected
    assert outputs(run(tmp_path, config())) == expected
    assert {path: path.stat().st_mtime_ns for path in kept} == kept


def test_a_longer_training_goes_on_from_a_shorter_one(tmp_path: Path) -> None:
    run(tmp_path / "two", config(num_steps=3))
    assert outputs(run(tmp_path / "two", config())) == outputs(run(tmp_path / "one", config()))


def test_held_out_volumes_change_nothing_and_training_ones_do(tmp_path: Path) -> None:
    with_it, without_it = run(tmp_path / "one", config()), run(tmp_path / "two", config(), "ab")
    assert outputs(with_it) == outputs(without_it)
    assert outputs(run(tmp_path / "three", config(), "a")) != outputs(with_it)


def test_it_can_start_from_given_weights(tmp_path: Path) -> None:
    initial = run(tmp_path / "one", config()) / "tokenizer.json"
    settings = config(num_steps=1, learning_rate=1e-12, initial_weights=str(initial))
    _, expected = load_component(initial, "tokenizer")
    _, found = load_component(run(tmp_path / "two", settings) / "tokenizer.json", "tokenizer")
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_the_discriminator_takes_part_from_its_step(tmp_path: Path) -> None:
    folder = run(tmp_path, config(num_steps=4, gan_start=2, crop_shape=(16, 24, 24)))
    rows = [line.split(",") for line in (folder / "loss.csv").read_text("utf-8").splitlines()]
    column = rows[0].index("discriminator_loss")
    assert [row[column] == "" for row in rows[1:]] == [True, True, False, False]
    table = pd.read_csv(folder / "loss.csv")
    assert find_losses(table) == ["tokenizer_loss", "discriminator_loss"]
    assert curves_png({"train_tokenizer": table}) != curves_png(
        {"train_tokenizer": table.drop(columns=rows[0][column])}
    )
    _, state = load_component(folder / "tokenizer.json", "tokenizer")
    assert not any("discriminator" in name for name in state)


def test_a_training_that_diverges_stops_and_keeps_its_last_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError, match="loss-not-finite"):
        run(tmp_path, config(num_steps=50, learning_rate=1e30, warmup_steps=0, clip_grad_norm=1e30, checkpoint_every=1))
    assert not (tmp_path / "train_tokenizer" / "tokenizer.json").exists()


def test_a_crop_larger_than_the_grid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="crop-too-large"):
        run(tmp_path, config(crop_shape=(24, 16, 16)))


def test_weights_of_another_depth_mode_are_refused(tmp_path: Path) -> None:
    initial = run(tmp_path / "one", config()) / "tokenizer.json"
    settings = config(initial_weights=str(initial))
    other = settings.tokenizer.model_copy(update={"depth_mode": "uniform_paper"})
    with pytest.raises(ConfigError, match=r"tokenizer-differs.*depth_mode 'uniform_aligned' instead of"):
        run(tmp_path / "two", settings.model_copy(update={"tokenizer": other}))


def perceptual(folder: Path, seed: int = 3) -> str:
    """A small network of the perceptual loss, as the configuration names it."""
    torch.manual_seed(seed)
    path, channels = folder / "perceptual.json", (2, 2, 2, 2, 2)
    network = Perceptual(channels)
    for name, tensor in network.named_parameters():
        if name.startswith("lin"):
            tensor.abs_()
    save_component(path, network, kind="perceptual", config={"channels": channels})
    return str(path)


def test_the_perceptual_loss_takes_part_where_its_weights_are(tmp_path: Path) -> None:
    settings = config(perceptual_weights=perceptual(tmp_path), gan_start=0, crop_shape=(16, 24, 24))
    rows = [line.split(",") for line in (run(tmp_path, settings) / "loss.csv").read_text("utf-8").splitlines()]
    column = next(index for index, name in enumerate(rows[0]) if name.endswith("perceptual"))
    assert all(float(row[column]) > 0 for row in rows[1:])


def test_another_perceptual_network_trains_anew(tmp_path: Path) -> None:
    settings = config(perceptual_weights=perceptual(tmp_path), crop_shape=(16, 24, 24))
    first = (run(tmp_path, settings) / "loss.csv").read_text("utf-8")
    assert (run(tmp_path, settings) / "loss.csv").read_text("utf-8") == first
    perceptual(tmp_path, seed=4)
    assert (run(tmp_path, settings) / "loss.csv").read_text("utf-8") != first
