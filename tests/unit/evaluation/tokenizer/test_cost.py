from medsyn2.evaluation.tokenizer.cost import evaluate_tokenizer, reconstruct
from tests.unit.planned import WORK, planned_run


def test_cases_go_through_the_tokenizer_with_every_mask_up_to_the_limit() -> None:
    one, all_cases = (planned_run(evaluate_tokenizer={"max_cases": kept}) for kept in (1, None))
    assert all_cases.count_held_out(None) == WORK.test_cases == 2
    assert reconstruct(all_cases).flops == 2 * reconstruct(one).flops > 0
    bare = planned_run(evaluate_tokenizer={"max_cases": 1}, segment={"tools": dict.fromkeys(one.config.segment.tools)})
    assert reconstruct(one).flops == 10 * reconstruct(bare).flops
    assert evaluate_tokenizer(one).flops == 0
