import numpy as np
import pytest

from medsyn2.errors import IntegrityError
from medsyn2.store.text_embeddings import REPORT, read_report, read_text, write_report, write_texts


def some_text(length):
    return np.random.default_rng(length).standard_normal((length, 4)).astype(np.float32)


def test_a_report_comes_back_in_float32_to_half_precision(tmp_path):
    write_report(tmp_path, some_text(3))
    read = read_report(tmp_path)
    assert read.shape == (3, 4)
    assert read.dtype == np.float32
    np.testing.assert_array_equal(read, some_text(3).astype(np.float16))


def test_texts_of_any_length_share_a_file(tmp_path):
    texts = {f"prompt-{length}": some_text(length) for length in (2, 5)}
    write_texts(tmp_path / "prompts.zarr.zip", texts)
    for name, embeddings in texts.items():
        read = read_text(tmp_path / "prompts.zarr.zip", name)
        np.testing.assert_array_equal(read, embeddings.astype(np.float16))


def test_a_report_that_is_not_there_or_cut_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="store-unreadable"):
        read_report(tmp_path)
    write_report(tmp_path, some_text(5))
    path = tmp_path / REPORT
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="store-damaged"):
        read_report(tmp_path)
