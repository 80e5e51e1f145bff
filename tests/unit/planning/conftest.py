"""The costs of the small run."""

import pytest

from medsyn2.planning.costs import Cost
from medsyn2.planning.networks import network_costs
from tests.unit.planned import planned_run


@pytest.fixture(scope="package")
def found() -> dict[str, Cost]:
    """The costs of the stages that run the main model's networks."""
    return {cost.stage: cost for cost in network_costs(planned_run())}
