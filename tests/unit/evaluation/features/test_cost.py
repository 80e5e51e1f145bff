from medsyn2.evaluation.features.cost import pass_cost
from tests.unit.planned import config


def test_a_pass_costs_its_slices_through_the_extractor() -> None:
    few, more = (pass_cost(config(evaluate_fid={"slices_per_volume": number})) for number in (4, 8))
    assert more[0] == 2 * few[0] > 0
    assert more[1] == few[1] > 0
    heavy, _ = pass_cost(config(evaluate_fid={"slices_per_volume": 4, "radimagenet": "weights"}))
    assert heavy > 10 * few[0]
