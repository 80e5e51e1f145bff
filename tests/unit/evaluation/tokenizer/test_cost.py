from medsyn2.evaluation.tokenizer.cost import evaluate_tokenizer, num_reconstructed
from tests.unit.planned import WORK, planned_run


def test_cases_go_through_the_tokenizer_up_to_the_limit() -> None:
    one, all_cases = (planned_run(evaluate_tokenizer={"max_cases": kept}) for kept in (1, None))
    assert (num_reconstructed(one), num_reconstructed(all_cases)) == (1, WORK.test_cases)
    assert evaluate_tokenizer(all_cases).flops == 2 * evaluate_tokenizer(one).flops > 0
