from medsyn2.evaluation.hu.cost import evaluate_hu, measure_hu
from tests.unit.planned import planned_run


def test_each_held_out_case_is_measured_with_its_synthetic_volumes() -> None:
    # Two held-out cases: one real volume each, one from each mask and one from the report.
    both = measure_hu(planned_run(sample={"structures": ["lobes", "heart"], "with_report": True}))
    masks_alone = measure_hu(planned_run(sample={"structures": ["lobes"], "with_report": False}))
    assert both.basis == "at most 8 volumes"
    assert masks_alone.basis == "at most 4 volumes"
    assert both.cpu_s is not None
    assert masks_alone.cpu_s is not None
    assert both.cpu_s > masks_alone.cpu_s
    assert evaluate_hu(planned_run()).cpu_s < both.cpu_s
