from medsyn2.stages.cost import report
from tests.unit.planned import planned_run


def test_the_page_is_one_job() -> None:
    cost = report(planned_run())
    assert cost.jobs == 1
    assert cost.cpu_s is not None
