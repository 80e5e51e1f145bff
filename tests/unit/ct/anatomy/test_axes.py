from itertools import permutations

import numpy as np
import pytest

from medsyn2.ct.anatomy.axes import bones_along, find_order, lung_valley


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_the_axes_are_found_in_any_order(view, order) -> None:
    along, _, beside = find_order(view.turn(order))
    assert (order[along], order[beside]) == (0, 2)


def test_bone_runs_along_the_body_only(view) -> None:
    body, depth, side = bones_along(view)
    assert body > 1.15 * max(depth, side)


def test_the_lungs_lie_beside_each_other(view) -> None:
    assert lung_valley(view, 2) > 0.4
    assert max(lung_valley(view, 0), lung_valley(view, 1)) < 0.2


def test_one_lung_leaves_the_axes_unclear(view) -> None:
    left = view.lungs & (np.arange(view.lungs.shape[2]) > view.centre[2])
    assert find_order(type(view)(view.hu, left, view.outside, view.spacing_mm)) is None
