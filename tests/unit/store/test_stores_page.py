"""The page on the stores: the reader that it gives to others is run here, on files of the real writers."""

import re
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pytest

from medsyn2.store.artefacts import CaseWork, process_shard
from medsyn2.store.latents import EMPTY_MASK, LATENTS, write_latents
from medsyn2.store.text_embeddings import write_report
from medsyn2.vocabulary import STRUCTURES

PAGE = Path(__file__).parents[3] / "docs/reference/stores.md"
SHAPE = (4, 2, 3, 3)


@pytest.fixture(scope="module")
def reader():
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert code.count("\n") < 50
    assert set(re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)) == {"json", "pathlib", "zarr"}
    names: dict = {}
    exec(compile(code, str(PAGE), "exec"), names)
    return names


def values(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float16)


@pytest.fixture
def shard(tmp_path):
    def encode(case, folder):
        if case.case == EMPTY_MASK:
            write_latents(folder, case.case, values(9), {})
            return {"masks": dict.fromkeys(STRUCTURES, "absent")}
        write_latents(folder, case.case, values(0), {"heart": values(1)})
        write_report(folder, values(2, (4, 8)))
        return {"masks": dict.fromkeys(STRUCTURES, "absent") | {"heart": "present", "nodules": "empty"}}

    todo = [CaseWork(case, case) for case in (EMPTY_MASK, "a")]
    process_shard("encode_latents", tmp_path / "0000.json", todo, encode, settings="", facts=dict)
    return tmp_path / "0000"


def test_latents_are_read(reader, shard):
    np.testing.assert_array_equal(reader["image_latents"](shard, "a"), values(0))
    np.testing.assert_array_equal(reader["mask_latents"](shard, "a", "heart"), values(1))
    np.testing.assert_array_equal(reader["mask_latents"](shard, "a", "nodules"), values(9))
    assert reader["mask_latents"](shard, "a", "lobes") is None


def test_reports_are_read(reader, shard):
    np.testing.assert_array_equal(reader["report_embeddings"](shard, "a"), values(2, (4, 8)))


def test_a_flipped_bit_and_a_missing_file_are_found(reader, shard):
    path = shard / "a" / LATENTS
    content = bytearray(path.read_bytes())
    content[content.index(values(0).tobytes()) + 7] ^= 1
    path.write_bytes(content)
    with pytest.raises(BadZipFile, match="CRC"):
        reader["image_latents"](shard, "a")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        reader["image_latents"](shard, "a")
