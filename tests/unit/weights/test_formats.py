"""Torn files and other things are told from weights, without reading a tensor and without torch."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from medsyn2.weights.formats import format_problem, json_problem, tensors_problem, vocabulary_problem


@pytest.fixture
def tensors(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"bert.embeddings.weight": np.zeros((4, 4), np.float32)}, path)
    return path


def test_whole_tensors_open_and_have_the_names_that_are_asked_for(tensors) -> None:
    assert tensors_problem(tensors) == format_problem(tensors) == ""
    assert tensors_problem(tensors, ["embeddings.weight", "other"]) == ""
    assert "no tensor conv1.bias" in tensors_problem(tensors, ["conv1.bias"])


@pytest.mark.parametrize("kept", [0, 1, 8, 20, -1])
def test_torn_tensors_are_found(tensors, kept: int) -> None:
    tensors.write_bytes(tensors.read_bytes()[:kept])
    assert "no whole safetensors" in tensors_problem(tensors)


def test_tensors_with_something_behind_them_are_found(tensors) -> None:
    tensors.write_bytes(tensors.read_bytes() + b"!")
    assert "no whole safetensors" in tensors_problem(tensors)


def test_json_is_an_object_with_its_keys(tmp_path) -> None:
    path = tmp_path / "config.json"
    for text, problem in (("{", "no JSON"), ("[]", "expected an object"), ('{"a": 1}', "it lacks b")):
        path.write_text(text, encoding="utf-8")
        assert problem in json_problem(path, ["a", "b"])
    path.write_bytes(b"\xff\xfe")
    assert "no JSON" in format_problem(path)
    path.write_text('{"a": 1, "b": 2}', encoding="utf-8")
    assert json_problem(path, ["a", "b"]) == ""


def test_torch_files_of_both_layouts_are_known(tmp_path) -> None:
    path = tmp_path / "a.pth"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", b"x" * 100)
    whole = path.read_bytes()
    assert format_problem(path) == ""
    path.write_bytes(whole[:-40])
    assert "no whole torch file" in format_problem(path)
    path.write_bytes(b"\x80\x02")
    assert format_problem(path) == ""


def test_a_vocabulary_has_the_special_tokens(tmp_path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nlung\n", encoding="utf-8")
    assert vocabulary_problem(path) == ""
    path.write_text("{}", encoding="utf-8")
    assert "lacks [CLS], [MASK], [PAD], [SEP], [UNK]" in vocabulary_problem(path)


def test_torch_is_not_imported() -> None:
    code = "import sys, medsyn2.weights.needs; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
