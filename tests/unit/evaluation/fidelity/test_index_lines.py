from medsyn2.evaluation.fidelity.index_lines import index_lines
from medsyn2.evaluation.fidelity.indices import judge_indices
from tests.unit.evaluation.fidelity.test_indices import cases


def test_each_set_has_a_line_and_what_is_flagged_is_named() -> None:
    real, made = index_lines(judge_indices(cases(3, jump_hu=9.0))[0])
    assert real.startswith("*real*, 8 volumes: 1.1 % outside the others' range")
    assert "*jump_hu* outside the range of real volumes; shifted (100 % outside, 9, real " in made
    real, made = index_lines(judge_indices(cases(3, num_real=2))[0])
    assert "too few patients" in real
    assert made == "*made*, 8 SYNTHETIC volumes: no index is flagged."
