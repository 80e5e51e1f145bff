"""The words of a comparison follow from its interval, if the space sees anything at all."""

from math import nan

import pytest

from medsyn2.evaluation.text.verdicts import family_level, sight, verdict


@pytest.mark.parametrize(
    ("adjusted", "real", "word"),
    [
        ((-0.2, -0.1), (0.6, 0.8), "below real"),
        ((0.1, 0.2), (0.6, 0.8), "above real"),
        ((-0.1, 0.2), (0.6, 0.8), "no difference shown"),
        ((-0.2, -0.1), (0.5, 0.8), "no verdict: this space sees nothing in real volumes"),
        ((nan, nan), (0.6, 0.8), "no verdict: too few cases"),
        ((-0.2, -0.1), (nan, nan), "no verdict: too few cases"),
    ],
)
def test_a_comparison_in_words(adjusted: tuple[float, float], real: tuple[float, float], word: str) -> None:
    assert verdict(adjusted, real, 0.5) == word


def test_a_space_sees_where_the_whole_interval_is_above_chance() -> None:
    assert sight((0.51, 0.7), 0.5) == "above chance"
    assert sight((0.5, 0.7), 0.5) == "not above chance: this space sees nothing"
    assert sight((nan, nan), 0.5) == "no verdict: too few cases"


def test_comparisons_of_a_table_share_one_chance_of_an_error() -> None:
    assert [family_level(num) for num in (0, 1, 5)] == pytest.approx([0.95, 0.95, 0.99])
