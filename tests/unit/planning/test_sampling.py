"""The solver's own count of evaluations."""

import pytest

from medsyn2.planning.sampling import evaluations
from tests.unit.planned import config


@pytest.mark.parametrize(
    ("solver", "expected"), [("euler", 4), ("heun", 7), ("unipc", 4), ("dopri5", 25), ("warped_midpoint", 8)]
)
def test_evaluations_are_the_solver_s_own(solver: str, expected: int) -> None:
    plain = {"solver": solver, "guidance_mask": 1.0}
    assert evaluations(config(sampling=plain)) == expected
    assert evaluations(config(sampling={**plain, "guidance_mask": 2.0})) == 2 * expected


def test_the_paper_s_solver_takes_301() -> None:
    values = {"solver": "dopri5", "num_steps": 50, "guidance_mask": 1.0}
    assert evaluations(config(sampling=values)) == 301
