"""Micro-batches of the training loop, prepared ahead of time."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Data(Protocol):
    """Source of micro-batches. A sample depends on its position alone, not on earlier calls."""

    def batch(self, positions: Sequence[int]) -> Any:
        """Return the samples at `positions`, counted from the beginning: a tensor, or a dataclass of tensors."""
        ...

    def names(self, positions: Sequence[int]) -> list[str]:
        """Return the cases of the samples at `positions`, for messages."""
        ...


def positions_of(micro_batch: int, batch_size: int) -> range:
    """Return the positions of the samples of a micro-batch."""
    return range(micro_batch * batch_size, (micro_batch + 1) * batch_size)


def prefetch_batches(
    data: Data, micro_batches: Iterator[int], batch_size: int, num_workers: int
) -> Iterator[Any]:
    """Yield the batch of each micro-batch in order, prepared up to `num_workers` ahead by as many threads."""
    if num_workers == 0:
        for micro_batch in micro_batches:
            yield data.batch(positions_of(micro_batch, batch_size))
        return
    pool = ThreadPoolExecutor(num_workers)
    ahead: deque[Future[Any]] = deque()
    try:
        for micro_batch in micro_batches:
            ahead.append(pool.submit(data.batch, positions_of(micro_batch, batch_size)))
            if len(ahead) > num_workers:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
