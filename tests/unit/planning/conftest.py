"""The costs of the small run."""

import pytest

from medsyn2.planning.costs import Cost
from medsyn2.stages.plan import plan_costs
from tests.unit.planned import planned_run


@pytest.fixture(scope="package")
def found() -> dict[str, Cost]:
    """The costs of all stages."""
    run = planned_run()
    return {cost.stage: cost for cost in plan_costs(run.config, run.work)}
