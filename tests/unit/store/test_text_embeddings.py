import numpy as np
import pytest

from medsyn2.errors import IntegrityError
from medsyn2.store.text_embeddings import TextStore

ENCODER = {"model.safetensors": "0" * 64}


def new_store(path, cases=("a", "b"), encoder=ENCODER):
    return TextStore.open_for_writing(path, cases, max_tokens=6, width=4, encoder=encoder)


def some_text(length):
    embeddings = np.zeros((6, 4), np.float32)
    embeddings[:length] = np.random.default_rng(length).standard_normal((length, 4))
    return embeddings


def test_a_text_comes_back_at_its_own_length_in_float32_to_half_precision(tmp_path):
    path = tmp_path / "0000.zarr"
    new_store(path).write("b", some_text(3), 3)
    read = TextStore.open(path).get("b")
    assert read.shape == (3, 4)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, some_text(3)[:3], rtol=2**-11)


def test_a_case_without_a_text_has_a_place_but_nothing_to_read(tmp_path):
    new_store(tmp_path / "0000.zarr")
    with pytest.raises(IntegrityError, match="case a"):
        TextStore.open(tmp_path / "0000.zarr").get("a")


def test_another_encoder_starts_a_new_store_and_the_same_one_keeps_it(tmp_path):
    path = tmp_path / "0000.zarr"
    files = new_store(path).write("a", some_text(6), 6)
    assert new_store(path, ("a", "b", "c")).store.holds("a", files)
    assert not new_store(path, encoder={"model.safetensors": "1" * 64}).store.holds("a", files)


def test_the_same_texts_give_the_same_bytes(tmp_path):
    files = [new_store(tmp_path / name).write("a", some_text(5), 5) for name in ("one.zarr", "two.zarr")]
    assert files[0] == files[1]
