"""Maps of any size become a picture of a bounded one."""

import io
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from medsyn2.evaluation.control.attention_figure import MAX_ROWS, attention_map, attention_png, read_map, write_map


def drawn(num_image: int, num_text: int, column: int | None = None) -> bytes:
    weights = np.random.default_rng(0).random((num_image, num_text))
    if column is not None:
        weights[:, column] *= 1000
    weights /= weights.sum(axis=1, keepdims=True)
    return attention_png([attention_map(weights, [f"w{i}" for i in range(num_text)], "case")])


def test_long_texts_are_no_wider_than_medium_ones_and_equal_maps_give_equal_bytes() -> None:
    long, medium = (imread(io.BytesIO(drawn(40, num))).shape for num in (300, 60))
    assert long == medium
    assert drawn(700, 9) == drawn(700, 9)


def test_the_heaviest_token_is_among_those_shown() -> None:
    # A column of nearly all the weight is bright only if it is drawn.
    bright = [(imread(io.BytesIO(drawn(40, 200, column)))[..., 0] > 0.9).mean() for column in (None, 150)]
    assert bright[0] != bright[1]


def test_a_kept_map_is_drawn_as_before(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).random((130, 7)).astype(np.float32)
    shown = attention_map(weights / weights.sum(axis=1, keepdims=True), list("abcdefg"), "case")
    assert shown.rows.shape == (MAX_ROWS, 7)
    write_map(tmp_path / "map.npz", shown)
    assert attention_png([read_map(tmp_path / "map.npz")]) == attention_png([shown])
