"""A text whose words fall into pieces is noted, a short one is not."""

import pytest

from medsyn2.nn.split_words import count_split_words, note_split_words


@pytest.mark.parametrize(
    ("tokens", "counted"),
    [
        (["[CLS]", "the", "lung", "##s", ",", "5", "##0", "mm", "[UNK]", "[SEP]"], (4, 2)),
        (["##s", "lung"], (1, 0)),
        ([], (0, 0)),
    ],
)
def test_words_that_are_unknown_or_in_pieces_are_counted(tokens: list[str], counted: tuple[int, int]) -> None:
    assert count_split_words(tokens, "[UNK]") == counted


def test_most_words_make_a_note() -> None:
    assert note_split_words(["a", "##k"] * 3 + ["heart"] * 2, "[UNK]")[0].startswith("3 of 5 words")
    assert note_split_words(["a", "##k"] * 3 + ["heart"] * 3, "[UNK]") == ()
    assert note_split_words(["a", "##k"] * 4, "[UNK]") == ()
