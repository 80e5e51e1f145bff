from dataclasses import replace

import numpy as np
import pytest

from medsyn2.ct.anatomy.evidence import BACK, CUT_ABOVE, LEFT, UP, cut_shares, is_cut, middle_column, trachea

UP_DOWN, FRONT_BACK, SIDES = (True, False, False), (False, True, False), (False, False, True)


@pytest.mark.parametrize(("name", "measure"), UP.items())
def test_evidence_for_up_turns_its_sign_with_the_chest(view, name, measure) -> None:
    upright, turned = measure(view), measure(view.turn((0, 1, 2), UP_DOWN))
    assert turned == pytest.approx(-upright, abs=0.02)
    # A phantom has as much solid tissue over its lungs as under them.
    assert upright > 0.3 or name == "liver"


@pytest.mark.parametrize("measure", BACK.values())
def test_evidence_for_back_turns_its_sign_with_the_chest(view, measure) -> None:
    assert measure(view) > 0.3
    assert measure(view.turn((0, 1, 2), FRONT_BACK)) == pytest.approx(-measure(view), abs=0.05)


@pytest.mark.parametrize("measure", LEFT.values())
def test_evidence_for_left_turns_its_sign_with_the_chest(view, measure) -> None:
    assert measure(view) > 0.3
    assert measure(view.turn((0, 1, 2), SIDES)) == pytest.approx(-measure(view), abs=0.2)


@pytest.mark.parametrize("flips", [UP_DOWN, FRONT_BACK, SIDES])
@pytest.mark.parametrize("measure", [*UP.values(), *BACK.values()])
def test_a_ball_of_air_in_water_has_no_directions(view, measure, flips) -> None:
    away = np.linalg.norm(np.mgrid[-30:31, -30:31, -30:31], axis=0)
    ball = replace(
        view,
        hu=np.where(away < 12, -850, np.where(away < 25, 0, -1000)).astype(np.float32),
        lungs=away < 11,
        outside=away > 25,
    )
    score = measure(ball.turn((0, 1, 2), flips))
    assert score is None or abs(score) < 0.3


def test_an_airway_is_no_evidence_where_the_end_it_should_leave_at_is_cut_off(view) -> None:
    assert cut_shares(view)[1] < CUT_ABOVE
    assert trachea(view) > 0.3
    low = slice(0, view.box[0].start + view.size[0] // 2)
    base = replace(view, hu=view.hu[low], lungs=view.lungs[low], outside=view.outside[low])
    assert cut_shares(base)[1] > CUT_ABOVE
    found = trachea(base)
    assert found is None or found > 0


@pytest.mark.parametrize("part", ["base", "top"])
def test_the_sides_of_the_heart_and_the_aorta_are_not_told_by_a_part_of_the_lungs(view, part) -> None:
    middle = view.box[0].start + view.size[0] // 2
    kept = slice(0, middle) if part == "base" else slice(middle, None)
    cut = replace(view, hu=view.hu[kept], lungs=view.lungs[kept], outside=view.outside[kept])
    assert is_cut(cut)
    assert not is_cut(view)
    assert LEFT["heart"](cut) is LEFT["aorta"](cut) is None


def test_the_middle_of_the_chest_is_between_the_lungs(view) -> None:
    assert abs(middle_column(view) - (view.box[2].start + view.box[2].stop) / 2) < 0.1 * view.size[2]
