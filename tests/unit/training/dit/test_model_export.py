from pathlib import Path

import pytest
from torch import nn

from medsyn2.training.dit.model_export import export_model
from medsyn2.weights.model_folder import (
    ChannelStatistics,
    GridDescription,
    LatentDescription,
    ModelDescription,
    TextDescription,
    TrainingDescription,
    affine_rows,
    read_description,
)
from medsyn2.weights.tensors import save_component

STATISTICS = ChannelStatistics((0.0,), (1.0,))
DESCRIPTION = ModelDescription(
    GridDescription(
        (4, 8, 8), affine_rows([[float(i == j) for j in range(4)] for i in range(4)]), (-1.0, 1.0)
    ),
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
        (encoder / name).write_text(name)
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
    (parts[1] / "vocab.txt").write_text("other")
    second = export(tmp_path / "model", parts)
    assert first.files["text_encoder/vocab.txt"] != second.files["text_encoder/vocab.txt"]
