import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from medsyn2.errors import WeightsError
from medsyn2.flow import Sampling
from medsyn2.weights.model_folder import (
    ChannelStatistics,
    GridDescription,
    LatentDescription,
    ModelDescription,
    TextDescription,
    TrainingDescription,
    affine_rows,
    export_model,
    hash_files,
    read_description,
    write_description,
)
from medsyn2.weights.tensors import save_component


def write_folder(folder: Path) -> ModelDescription:
    (folder / "text_encoder").mkdir(parents=True)
    (folder / "dit.json").write_text("{}", encoding="utf-8")
    (folder / "text_encoder" / "vocab.txt").write_text("a\nb\n", encoding="utf-8")
    (folder / ".lock").write_text("", encoding="utf-8")
    description = ModelDescription(
        grid=GridDescription(
            (64, 96, 96),
            ((0.0, 0.0, 3.25, -1.0), (0.0, 3.25, 0.0, -2.0), (4.9, 0.0, 0.0, 0.1), (0.0, 0.0, 0.0, 1.0)),
            (-1024.0, 1024.0),
        ),
        latents=LatentDescription(
            (2, 16, 12, 12),
            ChannelStatistics((0.1, 0.2), (1.0, 2.0)),
            ChannelStatistics((0.3, 0.4), (3.0, 4.0)),
            (32, 48, 48),
            0.25,
        ),
        text=TextDescription(64, 512, 32),
        training=TrainingDescription(10, 3, 2, {"lobes": 3}, "00", "Made of phantoms."),
        fingerprint="ff",
        files=hash_files(folder),
    )
    write_description(folder, description)
    return description


def test_a_description_comes_back_equal(tmp_path: Path) -> None:
    description = write_folder(tmp_path / "model")
    assert read_description(tmp_path / "model") == description
    assert sorted(description.files) == ["dit.json", "text_encoder/vocab.txt"]


def test_so_does_one_of_a_model_that_was_trained_elsewhere(tmp_path: Path) -> None:
    description = write_folder(tmp_path)
    own = {"heart": ChannelStatistics((0.5, 0.6), (5.0, 6.0))}
    description = replace(
        description,
        latents=replace(description.latents, masks=own, mask_chunk=80),
        text=replace(description.text, padded=True),
        training=TrainingDescription(None, None, None, {"heart": None}, None, "unknown"),
        sampling=Sampling("warped_midpoint", 49, 1e-7, guidance_mask=1.0),
        licence="academic",
    )
    write_description(tmp_path, description)
    assert read_description(tmp_path) == description


def test_a_description_from_before_those_keys_is_read_as_it_was_meant(tmp_path: Path) -> None:
    description = write_folder(tmp_path)
    values = json.loads((tmp_path / "model.json").read_text("utf-8"))
    for part, keys in (("latents", ("masks", "mask_chunk")), ("text", ("padded",))):
        for key in keys:
            del values[part][key]
    del values["licence"], values["seal"]
    values["sampling"] = {"solver": "warped_midpoint", "num_steps": 49, "t_end": 1e-7}
    before = {"warped_midpoint": Sampling("warped_midpoint", 49, 1e-7, guidance_mask=1.0)}
    before["none"] = Sampling("unipc", 25, guidance_mask=1.0)
    for sampling in before.values():
        (tmp_path / "model.json").write_text(json.dumps(values), encoding="utf-8")
        assert read_description(tmp_path) == replace(description, sampling=sampling)
        values.pop("sampling", None)


def test_a_copied_folder_is_as_good(tmp_path: Path) -> None:
    description = write_folder(tmp_path / "model")
    (tmp_path / "model").rename(tmp_path / "elsewhere")
    assert read_description(tmp_path / "elsewhere") == description


@pytest.mark.parametrize("name", ["dit.json", "text_encoder/vocab.txt"])
@pytest.mark.parametrize("damage", ["change", "remove"])
def test_a_changed_or_missing_file_is_found(tmp_path: Path, name: str, damage: str) -> None:
    write_folder(tmp_path)
    if damage == "change":
        (tmp_path / name).write_text("c\nb\n", encoding="utf-8")
    else:
        (tmp_path / name).unlink()
    with pytest.raises(WeightsError, match="model-damaged"):
        read_description(tmp_path)


def test_what_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="model-missing"):
        read_description(tmp_path)
    write_folder(tmp_path)
    values = json.loads((tmp_path / "model.json").read_text("utf-8"))
    for text in ("{", "{}", json.dumps({**values, "format": 2}), json.dumps({**values, "grid": {}})):
        (tmp_path / "model.json").write_text(text, encoding="utf-8")
        with pytest.raises(WeightsError, match="model-unreadable"):
            read_description(tmp_path)


def test_normalisation_takes_each_channel_to_zero_mean_and_unit_deviation_and_back():
    latents = torch.randn(2, 3, 4, 5, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    latents = latents * torch.tensor([1.0, 5.0, 0.1])[:, None, None, None] + 3.0
    mean = tuple(latents.mean((0, 2, 3, 4)).tolist())
    std = tuple(latents.std((0, 2, 3, 4), correction=0).tolist())
    statistics = ChannelStatistics(mean, std)
    normalised = statistics.normalize(latents)
    torch.testing.assert_close(normalised.mean((0, 2, 3, 4)), torch.zeros(3, dtype=torch.float64))
    torch.testing.assert_close(normalised.std((0, 2, 3, 4), correction=0), torch.ones(3, dtype=torch.float64))
    assert torch.equal(statistics.normalize(latents[0]), normalised[0])
    torch.testing.assert_close(statistics.denormalize(normalised), latents)


STATISTICS = ChannelStatistics((0.0,), (1.0,))
DESCRIPTION = ModelDescription(
    GridDescription((4, 8, 8), affine_rows([[float(i == j) for j in range(4)] for i in range(4)]), (-1.0, 1.0)),
    LatentDescription((1, 1, 1, 1), STATISTICS, STATISTICS, None, 0.25),
    TextDescription(8, 512, 32),
    TrainingDescription(1, 1, 1, {"heart": 1}, "00", "A note."),
    fingerprint="made from",
    files={},
)


@pytest.fixture
def parts(tmp_path: Path) -> tuple[Path, Path]:
    save_component(tmp_path / "stage" / "tokenizer.json", nn.Linear(1, 1), kind="tokenizer", config={})
    encoder = tmp_path / "encoder"
    encoder.mkdir()
    for name in ("config.json", "vocab.txt", "model.safetensors", "pytorch_model.bin"):
        (encoder / name).write_text(name, encoding="utf-8")
    return tmp_path / "stage" / "tokenizer.json", encoder


def export(folder: Path, parts: tuple[Path, Path], width: int = 2) -> ModelDescription:
    save_component(folder / "dit.json", nn.Linear(width, width, bias=False), kind="dit", config={})
    export_model(folder, *parts, DESCRIPTION)
    return read_description(folder)


def test_the_folder_is_whole_and_holds_no_pickle(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    description = export(tmp_path / "model", parts)
    assert sorted(description.files) == [
        "dit.json",
        "dit.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "text_encoder/vocab.txt",
        "tokenizer.json",
        "tokenizer.safetensors",
    ]
    assert not list((tmp_path / "model").rglob("*.bin"))
    assert description.training == DESCRIPTION.training


def test_other_weights_make_another_model(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    first, second = (export(tmp_path / str(width), parts, width) for width in (2, 3))
    assert first.fingerprint != second.fingerprint


def test_a_model_is_replaced_by_the_next(tmp_path: Path, parts: tuple[Path, Path]) -> None:
    first = export(tmp_path / "model", parts)
    (parts[1] / "vocab.txt").write_text("other", encoding="utf-8")
    second = export(tmp_path / "model", parts)
    assert first.files["text_encoder/vocab.txt"] != second.files["text_encoder/vocab.txt"]
