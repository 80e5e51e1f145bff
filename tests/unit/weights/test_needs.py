"""Which weights a configuration needs, and what is said of a folder that has them, lacks one, or has a bad one."""

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from medsyn2.config import Config, validate_config
from medsyn2.errors import WeightsError
from medsyn2.files import sha256_of
from medsyn2.weights.catalogue import CATALOGUE
from medsyn2.weights.checks import add_checksums
from medsyn2.weights.needs import needs, refuse_damaged


def put(folder: Path, *tools: str) -> None:
    """Make correctly named files of the tools, and list them as the site's own."""
    paths = []
    for row in CATALOGUE:
        if row.name.split("/")[0] in tools:
            for item in row.downloads:
                for pattern in item.unpacks or ("",):
                    path = folder / item.path / pattern.replace("fold_*", "fold_0").replace("*", "model")
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(path.name.encode())
                    paths.append(path)
    add_checksums(folder, paths)


def config(folder: Path, **sections: object) -> Config:
    tools = {"lobes": "lungmask", "heart": "totalsegmentator", "consolidation": "medpseg", "nodules": "classical"}
    values = {"segment": {"tools": tools, "weights_dir": str(folder)}, **sections}
    return validate_config(values, source="test")


def test_the_default_needs_nothing() -> None:
    assert needs(Config()) == []


def test_each_tool_needs_what_its_structures_need(tmp_path) -> None:
    found = needs(config(tmp_path))
    assert [need.row.name for need in found] == [
        "lungmask",
        "totalsegmentator/Dataset298",
        "totalsegmentator/Dataset293",
        "medpseg",
    ]
    assert not any(need.is_met for need in found)
    assert "medsyn2 fetch totalsegmentator/Dataset293" in found[2].remedy()


def test_tools_of_the_evaluation_count_too(tmp_path) -> None:
    values = {"tools": {"heart": "ct_rate"}, "weights_dir": str(tmp_path), "ct_rate_masks": "ts_seg"}
    again = {"tools": {"heart": "totalsegmentator"}}
    found = needs(validate_config({"segment": values, "evaluate_masks": again}, source="test"))
    assert [need.row.name for need in found] == ["totalsegmentator/Dataset298", "totalsegmentator/Dataset293"]


def test_a_folder_of_correctly_named_files_is_enough(tmp_path) -> None:
    put(tmp_path, "lungmask", "totalsegmentator", "medpseg")
    assert all(need.is_met for need in needs(config(tmp_path)))


def test_each_missing_or_damaged_file_is_named(tmp_path) -> None:
    put(tmp_path, "lungmask", "totalsegmentator", "medpseg")
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "SHA256SUMS"]
    for path in files:
        data, state = path.read_bytes(), "damaged"
        for change in (lambda path=path: path.write_bytes(b"!"), path.unlink):
            change()
            bad = [check for need in needs(config(tmp_path)) for check in need.checks if check.state == state]
            wanted = any(name in path.as_posix() for name in ("lungmask", "298", "293", "medpseg"))
            assert [check.path for check in bad] == ([path] if wanted else [])
            state = "missing"
        path.write_bytes(data)


def test_no_folder_is_named_too() -> None:
    [need] = needs(validate_config({"segment": {"tools": {"lobes": "lungmask"}}}, source="test"))
    assert not need.is_met
    assert need.checks[0].note == "segment.weights_dir is empty"


def test_converted_weights_are_those_of_their_description(tmp_path) -> None:
    tensors = tmp_path / "tokenizer.safetensors"
    tensors.write_bytes(b"tensors")
    description = tmp_path / "tokenizer.json"
    description.write_text(
        json.dumps({"kind": "tokenizer", "config": {}, "sha256": sha256_of(tensors)}), encoding="utf-8"
    )
    values = {"train_tokenizer": {"initial_weights": str(description)}}
    [need] = needs(config(tmp_path, segment={}, **values))
    assert (need.row.name, need.is_met) == ("tokenizer", True)
    assert [check.state for check in need.checks] == ["unverified", "recorded"]
    assert "medsyn2 convert tokenizer" in need.remedy()
    tensors.write_bytes(b"tensorz")
    [need] = needs(config(tmp_path, segment={}, **values))
    assert [check.state for check in need.checks] == ["unverified", "damaged"]
    description.write_text(json.dumps({"kind": "dit", "config": {}, "sha256": sha256_of(tensors)}), encoding="utf-8")
    [need] = needs(config(tmp_path, segment={}, **values))
    assert "describes a 'dit'" in need.checks[0].note
    description.write_text("{}", encoding="utf-8")
    [need] = needs(config(tmp_path, segment={}, **values))
    assert "lacks kind, config, sha256" in need.checks[0].note


def encoder(folder: Path, **config: object) -> Config:
    """Write the smallest folder that looks like an encoder, and a configuration that names it."""
    keys = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    (folder / "config.json").write_text(json.dumps({**dict.fromkeys(keys, 1), **config}), encoding="utf-8")
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n", encoding="utf-8")
    save_file({"bert.embeddings.position_embeddings.weight": np.zeros(2)}, folder / "model.safetensors")
    return validate_config({"encode_text": {"encoder_dir": str(folder)}}, source="test")


def test_the_encoder_is_its_three_files(tmp_path) -> None:
    given = encoder(tmp_path)
    [need] = needs(given)
    assert need.is_met
    assert [check.path.name for check in need.checks] == ["config.json", "vocab.txt", "model.safetensors"]
    for path in tmp_path.iterdir():
        whole = path.read_bytes()
        for junk in (b"!", b"{}", b""):
            path.write_bytes(junk)
            bad = [check.path for check in needs(given)[0].checks if check.state == "damaged"]
            assert bad == [path]
        path.unlink()
        assert [check.path for check in needs(given)[0].checks if check.state == "missing"] == [path]
        path.write_bytes(whole)


def test_an_encoder_of_our_own_has_the_weights_that_its_configuration_records(tmp_path) -> None:
    encoder(tmp_path)
    sha256 = sha256_of(tmp_path / "model.safetensors")
    [need] = needs(encoder(tmp_path, weights_sha256=sha256))
    assert need.checks[2].state == "recorded"
    [need] = needs(encoder(tmp_path, weights_sha256="0" * 64))
    assert need.checks[2].state == "damaged"


def test_radimagenet_is_what_its_conversion_recorded_or_at_least_looks_like_it(tmp_path) -> None:
    tensors = tmp_path / "radimagenet.safetensors"
    given = validate_config({"evaluate_fid": {"radimagenet": str(tensors)}}, source="test")
    save_file({"conv1.bias": np.zeros(2)}, tensors)
    [need] = needs(given)
    assert [check.state for check in need.checks] == ["unverified"]
    description = {"kind": "radimagenet", "config": {}, "sha256": sha256_of(tensors)}
    tensors.with_suffix(".json").write_text(json.dumps(description), encoding="utf-8")
    assert [check.state for check in needs(given)[0].checks] == ["unverified", "recorded"]
    save_file({"conv1.bias": np.ones(2)}, tensors)
    assert [check.state for check in needs(given)[0].checks] == ["unverified", "damaged"]
    tensors.with_suffix(".json").unlink()
    save_file({"fc.bias": np.ones(2)}, tensors)
    assert [check.state for check in needs(given)[0].checks] == ["damaged"]
    tensors.write_bytes(b"12345")
    assert [check.state for check in needs(given)[0].checks] == ["damaged"]


def test_perceptual_weights_are_those_of_their_description(tmp_path) -> None:
    description, tensors = tmp_path / "perceptual.json", tmp_path / "perceptual.safetensors"
    save_file({"a": np.zeros(2)}, tensors)
    given = validate_config({"train_tokenizer": {"perceptual_weights": str(description)}}, source="test")
    assert [check.state for check in needs(given)[0].checks] == ["missing", "unverified"]
    description.write_text(
        json.dumps({"kind": "perceptual", "config": {}, "sha256": sha256_of(tensors)}), encoding="utf-8"
    )
    assert [check.state for check in needs(given)[0].checks] == ["unverified", "recorded"]
    save_file({"a": np.ones(2)}, tensors)
    assert [check.state for check in needs(given)[0].checks] == ["unverified", "damaged"]
    assert "fetch perceptual" in needs(given)[0].remedy()


def test_a_folder_of_a_row_s_name_needs_that_row_s_weights(tmp_path) -> None:
    values = {"encode_text": {"encoder_dir": "weights/cxr-bert-medsyn"}}
    [medsyn] = needs(validate_config(values, source="test"))
    assert medsyn.row.name == "cxr-bert-medsyn"
    steps = ["medsyn2 fetch cxr-bert-medsyn", "get pytorch_model.bin of pretrained_lm", "medsyn2 convert text-encoder"]
    places = [medsyn.remedy().index(step) for step in steps]
    assert places == sorted(places)
    for folder, name in (("cxr-bert", "cxr-bert"), ("my-own", "cxr-bert")):
        values = {"encode_text": {"encoder_dir": f"weights/{folder}"}}
        assert needs(validate_config(values, source="test"))[0].row.name == name
    for folder, name in (("tokenizer-official", "tokenizer-official"), ("mine", "tokenizer")):
        values = {"train_tokenizer": {"initial_weights": f"weights/{folder}/tokenizer.json"}}
        assert needs(validate_config(values, source="test"))[0].row.name == name


def test_a_tool_never_reads_damaged_weights(tmp_path) -> None:
    put(tmp_path, "totalsegmentator")
    refuse_damaged(tmp_path, "totalsegmentator", {"heart"})
    path = next(tmp_path.glob("totalsegmentator/Dataset293*/*/fold_0/checkpoint_final.pth"))
    path.write_bytes(b"!")
    refuse_damaged(tmp_path, "totalsegmentator", {"nodules"})
    with pytest.raises(WeightsError, match=str(path)) as caught:
        refuse_damaged(tmp_path, "totalsegmentator", {"heart"})
    assert caught.value.code == "weights-damaged"
