import threading
from collections.abc import Sequence

import pytest

from medsyn2.training.engine.batches import positions_of, prefetch_batches


class Counted:
    def __init__(self) -> None:
        self.threads: set[int] = set()
        self.made: list[int] = []

    def batch(self, positions: Sequence[int]) -> list[int]:
        self.threads.add(threading.get_ident())
        self.made.append(positions[0])
        if positions[0] >= 90:
            raise RuntimeError("no such sample")
        return list(positions)

    def names(self, positions: Sequence[int]) -> list[str]:
        return [str(position) for position in positions]


def test_micro_batches_cover_every_position_once() -> None:
    positions = [position for number in range(5) for position in positions_of(number, 3)]
    assert positions == list(range(15))


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order_whoever_makes_them(workers: int) -> None:
    numbers = [4, 0, 7, 2, 3, 9]
    batches = list(prefetch_batches(Counted(), iter(numbers), 2, workers))
    assert batches == [[2 * n, 2 * n + 1] for n in numbers]


def test_nothing_is_made_before_it_is_wanted_without_workers() -> None:
    data = Counted()
    batches = prefetch_batches(data, iter(range(10)), 1, 0)
    next(batches)
    assert data.made == [0]
    assert data.threads == {threading.get_ident()}


@pytest.mark.parametrize("workers", [0, 2])
def test_an_error_comes_with_its_batch(workers: int) -> None:
    batches = prefetch_batches(Counted(), iter([0, 1, 95]), 1, workers)
    assert [next(batches), next(batches)] == [[0], [1]]
    with pytest.raises(RuntimeError, match="no such sample"):
        next(batches)
