"""The training loop, for the tokenizer and for the diffusion transformer.

In a step every learner, in order, accumulates the gradients of its loss over the step's micro-batches, clips them and
is updated; then the moving averages are updated, the row of losses is written and, at intervals, a checkpoint. A
learner is a network with its loss; an adversarial pair is two of them.

**Exact resume.** Micro-batch m has the samples [mB, mB + B) and generators that depend on the seed and m alone
(``draws.py``); step s takes the micro-batches [sA, sA + A) for A accumulated ones. A checkpoint between steps therefore
holds the whole state, and a training killed at any time ends with the same bits as an undisturbed one, on a CPU with
the same number of threads. Several processes share the micro-batches of a step and compute the same result as one.

**Stops.** A loss or gradient that is not finite stops the training before the update. SIGTERM, Ctrl-C and a closed
terminal end the step, write a checkpoint and exit with 128 and the signal's number; a second Ctrl-C ends at once.
"""

import csv
import io
import logging
import math
import signal
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from medsyn2.errors import ConfigError, NonFiniteLossError
from medsyn2.faults import name_file
from medsyn2.files import write_text_atomically
from medsyn2.signals import Stopped, collect_stops
from medsyn2.training.engine.checkpoint import Checkpoint, latest_checkpoint, remove_before, save_checkpoint
from medsyn2.training.engine.draws import generator_of, seed_of
from medsyn2.training.engine.fabric import make_fabric, to_device
from medsyn2.training.engine.learner import Learner, LoopSettings
from medsyn2.training.engine.optimizer import set_learning_rate
from medsyn2.training.engine.sharding import gather_full_tensor
from medsyn2.training.engine.state import TrainingState
from medsyn2.types import Float

log = logging.getLogger(__name__)


class LossLog:
    """The table of losses, a CSV with a row per step, open for further rows.

    It holds no times, and checkpoints contain it, so that a resumed training ends with the same bytes.
    """

    def __init__(self, path: Path, columns: Sequence[str], table: Float[Tensor, "steps columns"] | None) -> None:
        self.columns = tuple(columns)
        self._rows: list[list[float]] = [] if table is None else table.tolist()
        lines = [["step", *self.columns], *(self._cells(step) for step in range(len(self._rows)))]
        write_text_atomically(path, _text(lines))
        # Without a buffer: one that could not be written would be tried again, in vain, when the process ends.
        self._path, self._file = path, path.open("ab", buffering=0)

    def append(self, values: Mapping[str, float]) -> None:
        """Add the row of a step; missing values stay empty."""
        self._rows.append([values.get(name, math.nan) for name in self.columns])
        with name_file(self._path):
            self._file.write(_text([self._cells(len(self._rows) - 1)]).encode())

    def table(self) -> Float[Tensor, "steps columns"]:
        """Return the rows so far, in float64."""
        return torch.tensor(self._rows, dtype=torch.float64).reshape(len(self._rows), len(self.columns))

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _cells(self, row: int) -> list[str]:
        values = ["" if math.isnan(value) else repr(float(value)) for value in self._rows[row]]
        return [str(row + 1), *values]


def _text(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


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


def prefetch_batches(data: Data, micro_batches: Iterator[int], batch_size: int, num_workers: int) -> Iterator[Any]:
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


LOSSES = "loss.csv"
_TABLE = "losses"
_BEFORE, _AFTER = ("loss",), ("gradient_norm", "learning_rate")


def train(
    learners: Mapping[str, Learner], data: Data, settings: LoopSettings, *, folder: Path, identity: str
) -> dict[str, dict[str, Tensor]]:
    """Train from the latest checkpoint, or from the beginning, to the last step.

    Args:
        learners: Networks to train by name, in the order of their updates.
        folder: Folder of the checkpoints of this identity, which the caller holds (``identity.py``).
        identity: Hash of everything that influences the course of the training, except its length.

    Returns:
        The moving average of each learner's state, on the CPU.

    Raises:
        ConfigError: If the processes cannot share the micro-batches of a step evenly.
        NonFiniteLossError: If a loss or a gradient is not finite, before an update with it.
        Stopped: After a signal, when a checkpoint is written.
    """
    fabric = make_fabric(settings.precision, settings.strategy)
    if settings.accumulate % fabric.world_size:
        raise ConfigError(
            f"{fabric.world_size} processes cannot share the {settings.accumulate} micro-batches of a step evenly.",
            code="processes-do-not-divide",
            remedy="set accumulate in the section of this training to a multiple of the processes, and batch_size to "
            "that much less.",
        )
    devices = [fabric.device] if fabric.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        with fabric.rank_zero_first():
            checkpoint = latest_checkpoint(folder, identity, settings.num_steps)
        if checkpoint is not None:
            log.info("identity %.12s goes on after step %d of %d", identity, checkpoint.step, settings.num_steps)
        state = TrainingState(fabric, learners, checkpoint)
        table = None if checkpoint is None else checkpoint.tensors[_TABLE]
        del checkpoint  # as large as the state
        loop = _Loop(fabric, learners, data, settings, state)
        losses = LossLog(folder / LOSSES, loop.columns(), table) if fabric.is_global_zero else None
        loop.run(losses, lambda tensors: save_checkpoint(folder, Checkpoint(state.step, tensors), identity))
        if losses is not None:
            losses.close()
            remove_before(folder, settings.num_steps)
        fabric.barrier()
    return state.full_averages()


class _Loop:
    """The steps of one training."""

    def __init__(
        self, fabric: Fabric, learners: Mapping[str, Learner], data: Data, settings: LoopSettings, state: TrainingState
    ) -> None:
        self.fabric, self.learners, self.data = fabric, learners, data
        self.settings, self.state = settings, state

    def run(self, losses: LossLog | None, save: Callable[[dict[str, Tensor]], None]) -> None:
        """Run the remaining steps."""
        state, settings = self.state, self.settings
        steps = range(state.step, settings.num_steps)
        numbers = (number for step in steps for number in self._micro_batches(step))
        batches = prefetch_batches(self.data, numbers, settings.batch_size, settings.num_workers)
        with collect_stops() as received, self._progress() as bar:
            for step in steps:
                row = self._step(step, [next(batches) for _ in self._micro_batches(step)])
                bar.update()
                stopped = self._anywhere(bool(received))
                ended = state.step == settings.num_steps
                if losses is not None:
                    losses.append(row)
                if stopped or ended or state.step % settings.checkpoint_every == 0:
                    self._save(losses, save)
                if stopped and not ended:
                    number = received[0] if received else signal.SIGTERM  # of another process of the training
                    raise Stopped(number, f" after step {state.step} of {settings.num_steps}, which is saved")

    def _save(self, losses: LossLog | None, save: Callable[[dict[str, Tensor]], None]) -> None:
        """Write a checkpoint; every process takes part, as each may hold a shard."""
        tensors = self.state.tensors()
        if losses is None:
            deque(tensors, maxlen=0)  # gathering is collective
        else:
            save({name: tensor.cpu() for name, tensor in tensors} | {_TABLE: losses.table()})

    def _step(self, step: int, batches: Sequence[Any]) -> dict[str, float]:
        on_device = [to_device(batch, self.fabric.device) for batch in batches]
        active = {name: one for name, one in self.learners.items() if step >= one.first_step}
        row: dict[str, float] = {}
        for name, learner in active.items():
            row |= self._update(name, learner, step, on_device)
        self.state.step = step + 1
        for name, learner in active.items():
            self.state.averages[name].update(self.state.networks[name], self.state.step - learner.first_step)
        return row

    def _update(self, name: str, learner: Learner, step: int, batches: Sequence[Any]) -> dict[str, float]:
        fabric, network, optimizer = self.fabric, self.state.wrapped[name], self.state.optimizers[name]
        optimizer.zero_grad()
        logged = torch.zeros(2, 1 + len(learner.parts), device=fabric.device)
        for index, (number, batch) in enumerate(zip(self._micro_batches(step), batches, strict=True)):
            torch.manual_seed(seed_of(self.settings.seed, "network", name, number))
            generator = generator_of(self.settings.seed, "loss", name, number)
            with self._gradient_exchange(network, index == len(batches) - 1):
                loss = learner.loss(self.state.wrapped, batch, generator, step)
                self._check(loss.total, f"loss of {name}", step, number)
                fabric.backward(loss.total / len(batches))
            total = loss.total.detach()[None]
            logged += torch.stack((torch.cat((total, loss.sums)), torch.cat((torch.ones_like(total), loss.counts))))
        limit = learner.optimizer.clip_grad_norm or float("inf")
        norm = fabric.clip_gradients(network, optimizer, max_norm=limit, error_if_nonfinite=False)
        assert norm is not None
        norm = gather_full_tensor(norm)
        self._check(norm, f"gradient of {name}", step, None)
        rate = learner.optimizer.rate_at(step - learner.first_step)
        set_learning_rate(optimizer, rate)
        optimizer.step()
        return self._row(name, logged, norm.item(), rate)

    def _row(self, name: str, logged: Tensor, norm: float, rate: float) -> dict[str, float]:
        means = [total / count if count else None for total, count in self._sum_over_processes(logged).T.tolist()]
        values = [*means, norm, rate]
        named = zip(self._columns_of(name), values, strict=True)
        return {column: value for column, value in named if value is not None}

    def columns(self) -> list[str]:
        """Return the names of the values of a row."""
        return [column for name in self.learners for column in self._columns_of(name)]

    def _progress(self) -> Any:
        return tqdm(
            total=self.settings.num_steps,
            initial=self.state.step,
            desc=" and ".join(self.learners),
            unit="step",
            mininterval=5,
            disable=not self.fabric.is_global_zero,
            file=sys.stderr,
        )

    def _columns_of(self, name: str) -> list[str]:
        columns = [*_BEFORE, *self.learners[name].parts, *_AFTER]
        return columns if len(self.learners) == 1 else [f"{name}_{column}" for column in columns]

    def _micro_batches(self, step: int) -> range:
        """Return this process's micro-batches of a step."""
        first = step * self.settings.accumulate
        return range(first + self.fabric.global_rank, first + self.settings.accumulate, self.fabric.world_size)

    def _gradient_exchange(self, network: Any, now: bool) -> AbstractContextManager[None]:
        """Exchange gradients between processes in the last backward pass of a step only."""
        if self.fabric.world_size == 1 or now:
            return nullcontext()
        return self.fabric.no_backward_sync(network, enabled=True)

    def _anywhere(self, flag: bool) -> bool:
        return bool(self._sum_over_processes(torch.tensor(float(flag), device=self.fabric.device)))

    def _sum_over_processes(self, values: Tensor) -> Tensor:
        if self.fabric.world_size == 1:
            return values
        total = self.fabric.all_reduce(values, reduce_op="sum")
        assert isinstance(total, Tensor)
        return total

    def _check(self, value: Tensor, what: str, step: int, micro_batch: int | None) -> None:
        if torch.isfinite(value).item():
            return
        numbers = self._micro_batches(step) if micro_batch is None else [micro_batch]
        cases = [case for number in numbers for case in self.data.names(positions_of(number, self.settings.batch_size))]
        raise NonFiniteLossError(
            f"the {what} at step {step + 1} is {value.item()}, with the cases {', '.join(cases)}; "
            "no update was made with it.",
            code="loss-not-finite",
            remedy="lower the learning rate or train in 32-true; the last checkpoint is intact and is "
            "gone on from unless a setting changes.",
        )
