from medsyn2.evaluation.text.cost import evaluate_scores
from tests.unit.planned import planned_run


def test_time_is_unknown_and_a_foreign_model_is_named() -> None:
    assert evaluate_scores(planned_run()).cpu_s is None
    foreign = planned_run(evaluate_scores={"command": ["embed", "--fast"]})
    assert evaluate_scores(foreign).basis == "the cost of embed is not known"
