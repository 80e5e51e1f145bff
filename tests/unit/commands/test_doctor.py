"""``medsyn2 doctor``: present and missing things, and remedies."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from medsyn2.cli import main
from medsyn2.commands.doctor import list_input_files, machine, packages, weights
from medsyn2.config import Config, load_config
from medsyn2.files import sha256_of
from medsyn2.weights.catalogue import find
from medsyn2.weights.checks import add_checksums
from medsyn2.weights.needs import needs

ROOT = Path(__file__).parents[3]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration that wants lungmask, an environment that has it, and its weights."""
    metadata = tmp_path / "packages/lungmask-0.2.22.dist-info/METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: lungmask\nVersion: 0.2.22\n", encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "packages"))
    monkeypatch.chdir(tmp_path)
    weights = tmp_path / "weights"
    paths = [weights / item.path for row in find(["lungmask"]) for item in row.downloads]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"of this site")
    add_checksums(weights, paths)
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "cohort: {num_phantoms: 8}\ngrid: {shape: [16, 32, 32]}\ntokenizer: {hidden_channels: 4}\n"
        "train_tokenizer: {crop_shape: [16, 32, 32], initial_weights: null}\n"
        f"segment: {{tools: {{lobes: lungmask}}, weights_dir: {weights}}}\n",
        encoding="utf-8",
    )
    return mine


def test_all_is_well(site: Path, capsys) -> None:
    assert main(["doctor", "--config", str(site)]) == 0
    text = capsys.readouterr().out
    assert "ok lungmask in" in text
    assert "lungmask 0.2.22" in text
    assert "licence: Apache-2.0" in text
    assert "recorded   " in text
    assert "Everything that the configuration needs is here." in text


def test_files_are_merged_and_all_named(site: Path, capsys) -> None:
    on_top = site.parent / "on_top.yaml"
    on_top.write_text("segment: {tools: {heart: totalsegmentator}}\n", encoding="utf-8")
    assert main(["doctor", "--config", str(site), str(on_top), "--json"]) == 14
    shown = capsys.readouterr()
    assert "totalsegmentator (package)" in json.loads(shown.out)["missing"]
    assert "ok lungmask in" in shown.out
    assert f"{site} and {on_top} needs" in shown.err
    assert "totalsegmentator" in shown.err


@pytest.mark.parametrize("kind", ["missing", "damaged"])
def test_a_file_that_is_not_right_is_named_with_its_remedy(site: Path, kind: str) -> None:
    path = site.parent / "weights/lungmask/unet_r231-d5d2fc3d.pth"
    if kind == "missing":
        path.unlink()
    else:
        path.write_bytes(b"of another site")
    missing: list[str] = []
    text = "\n".join(weights(load_config(site), missing))
    assert missing == ["lungmask"]
    assert f"{kind:<10} {path}" in text
    assert "medsyn2 fetch lungmask --to DIR" in text


def test_a_missing_package_is_named(site: Path) -> None:
    site.write_text(
        site.read_text(encoding="utf-8").replace("weights_dir", "python: {lungmask: /nowhere/python}, weights_dir"),
        encoding="utf-8",
    )
    missing: list[str] = []
    text = "\n".join(packages(load_config(site), missing))
    assert missing == ["lungmask (package)"]
    assert "/nowhere/python has no lungmask" in text


def test_the_default_needs_nothing() -> None:
    missing: list[str] = []
    assert list(weights(Config(), missing)) == ["ok none is needed"]
    assert len(list(packages(Config(), missing))) == 1
    assert missing == []


def test_what_is_missing_and_too_little_memory_end_with_a_sentence(site: Path, capsys) -> None:
    text = site.read_text(encoding="utf-8") + "dit: {width: 24576, depth: 8, num_heads: 16}\n"
    site.write_text(text.replace("lobes: lungmask", "lobes: lungmask, consolidation: medpseg"), encoding="utf-8")
    assert main(["doctor", "--config", str(site)]) == 14
    captured = capsys.readouterr()
    assert "[doctor-missing]" in captured.err
    assert "needs 2 things that are missing or damaged: medpseg (package); medpseg." in captured.err
    assert "?? train_dit takes about" in captured.out


def test_the_paper_s_configuration_can_be_checked_on_a_folder_of_named_files(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(ROOT / "configs/paper.yaml")
    missing: list[str] = []
    list(weights(config, missing))
    assert {
        "lungmask",
        "totalsegmentator/Dataset298",
        "medpseg",
        "cxr-bert-medsyn",
        "perceptual",
        "radimagenet",
    } <= set(missing)
    (tmp_path / "weights/tokenizer").mkdir(parents=True)
    tensors = tmp_path / "weights/tokenizer/tokenizer.safetensors"
    names = ("embeddings.position_embeddings.weight", "conv1.bias")  # of a BERT, of RadImageNet
    save_file(dict.fromkeys(names, np.zeros(2)), tensors)
    bert = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    description = {"kind": "tokenizer", "config": {}, "sha256": sha256_of(tensors), **dict.fromkeys(bert, 1)}
    for check in [check for need in needs(config) for check in need.checks if check.state == "missing"]:
        path = Path(str(check.path).replace("fold_*", "fold_0").replace("*", "model"))
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            shutil.copyfile(tensors, path)
        elif path.name == "vocab.txt":
            path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
        else:
            path.write_text(json.dumps({**description, "kind": path.stem}), encoding="utf-8")
    mine = [path for path in (tmp_path / "weights").rglob("*") if path.is_file()]
    add_checksums(tmp_path / "weights", mine)
    missing = []
    text = "\n".join(weights(config, missing))
    assert missing == [], text
    for path in mine:
        whole = path.read_bytes()
        path.write_bytes(b"!")
        damaged: list[str] = []
        told = "\n".join(weights(config, damaged))
        assert damaged
        assert f"damaged    {path.relative_to(tmp_path)}" in told
        path.write_bytes(whole)


def test_each_table_is_named_and_a_missing_one_with_its_remedy(site: Path, capsys) -> None:
    (site.parent / "train.csv").write_text("VolumeName\n", encoding="utf-8")
    cohort = "{data_dir: cts, reports_csv: [train.csv, valid.csv]}"
    site.write_text(site.read_text(encoding="utf-8").replace("{num_phantoms: 8}", cohort), encoding="utf-8")
    missing: list[str] = []
    lines = list(list_input_files(load_config(site), missing))
    assert lines[:2] == ["ok cohort.reports_csv: train.csv", "!! cohort.reports_csv: valid.csv does not exist"]
    assert "what to do: correct the path" in lines[2]
    assert missing == ["valid.csv"]
    assert main(["doctor", "--config", str(site)]) == 14
    assert "needs 1 things that are missing or damaged: valid.csv" in capsys.readouterr().err
    assert list(list_input_files(Config(), missing)) == ["ok none is named"]


def test_a_cohort_that_is_not_there_yet_is_said(site: Path) -> None:
    site.write_text(
        site.read_text(encoding="utf-8").replace("{num_phantoms: 8}", "{data_dir: nowhere}"), encoding="utf-8"
    )
    assert "cannot be judged without the cohort" in "\n".join(machine(load_config(site)))
