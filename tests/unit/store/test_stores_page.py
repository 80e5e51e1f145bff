"""The page on the stores: what it says to others about reading them is run here, on stores of the real writers."""

import re
from pathlib import Path

import numpy as np
import pytest

from medsyn2.store.latents import LatentStore
from medsyn2.store.text_embeddings import TextStore
from medsyn2.vocabulary import STRUCTURES

PAGE = Path(__file__).parents[3] / "docs/reference/stores.md"
SHAPE = (4, 2, 3, 3)


@pytest.fixture(scope="module")
def reader():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code.count("\n") < 50
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {"numpy", "zarr"}
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def values(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


@pytest.fixture
def latents(tmp_path):
    path = tmp_path / "0000.zarr"
    store = LatentStore.open_for_writing(path, ["a", "b"], shape=SHAPE, dtype="float16", about={})
    store.write_empty_mask(values(9))
    states = dict.fromkeys(STRUCTURES, "absent") | {"heart": "present", "nodules": "empty"}
    store.write("a", values(0), {"heart": values(1)}, states)
    return path


def test_latents_are_read(reader, latents):
    np.testing.assert_array_equal(reader["image_latents"](latents, "a"), values(0).astype(np.float16))
    np.testing.assert_array_equal(reader["mask_latents"](latents, "a", "heart"), values(1).astype(np.float16))
    empty = reader["mask_latents"](latents, "a", "nodules")
    np.testing.assert_array_equal(empty, values(9).astype(np.float16))
    assert reader["mask_latents"](latents, "a", "lobes") is None


def test_texts_are_read(reader, tmp_path):
    path = tmp_path / "0000.zarr"
    store = TextStore.open_for_writing(path, ["a", "b"], max_tokens=6, width=8, encoder={})
    embeddings = np.zeros((6, 8), np.float32)
    embeddings[:4] = values(0, (4, 8))
    store.write("a", embeddings, 4)
    np.testing.assert_array_equal(reader["text_embeddings"](path, "a"), store.get("a").astype(np.float16))
    with pytest.raises(ValueError, match="the row of b is not there"):
        reader["text_embeddings"](path, "b")


def test_an_unwritten_row_a_missing_chunk_and_a_flipped_bit_are_all_found(reader, latents):
    with pytest.raises(ValueError, match="the row of b is not there"):
        reader["image_latents"](latents, "b")
    (chunk,) = (path for path in (latents / "image" / "c" / "1").rglob("*") if path.is_file())
    content = bytearray(chunk.read_bytes())
    content[7] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(ValueError, match=r"(?i)crc|checksum"):
        reader["image_latents"](latents, "a")
    chunk.unlink()
    with pytest.raises(ValueError, match="a chunk is missing"):
        reader["image_latents"](latents, "a")
