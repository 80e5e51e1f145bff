"""The figure draws every index, names what is outside, and is the same in every run."""

import io

from matplotlib.figure import Figure
from PIL import Image

from medsyn2.evaluation.fidelity.indices import judge_indices
from medsyn2.evaluation.fidelity.indices_figure import _draw_index, indices_png
from tests.unit.evaluation.fidelity.test_indices import cases


def test_the_figure_is_a_picture_and_the_same_again() -> None:
    tables = judge_indices(cases(1, jump_hu=9.0))
    drawn = indices_png(*tables)
    assert Image.open(io.BytesIO(drawn)).size == (int(4 * 3.4 * 110), int(3 * 2.7 * 110))
    assert drawn == indices_png(*tables)


def test_sets_are_named_with_their_share_and_flag_and_too_few_are_drawn_without_a_range() -> None:
    table, judged = judge_indices(cases(1, jump_hu=9.0))
    axis = Figure().subplots()
    _draw_index(axis, "jump_hu", table[table["index"] == "jump_hu"], judged)
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert labels == ["real\n0 % outside", "made, SYNTHETIC\n100 % outside\nFLAG"]
    assert axis.get_yscale() == "log"
    table, judged = judge_indices(cases(1, num_real=2))
    axis = Figure().subplots()
    _draw_index(axis, "upright", table[table["index"] == "upright"], judged)
    assert axis.get_yscale() == "linear"
    assert not axis.patches
