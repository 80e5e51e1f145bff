import multiprocessing
import multiprocessing.process
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from medsyn2.errors import NonFiniteLossError
from medsyn2.training.engine.draws import generator_of, item_of
from medsyn2.training.engine.learner import Learner, LoopSettings, MicroLoss
from medsyn2.training.engine.loop import LossLog, positions_of, prefetch_batches, train
from medsyn2.training.engine.optimizer import AdamSettings

SETTINGS = LoopSettings(num_steps=12, batch_size=2, checkpoint_every=4, seed=3, accumulate=2)
ADAM = AdamSettings(learning_rate=1e-2, warmup_steps=3, clip_grad_norm=1.0)


@dataclass(frozen=True)
class Points:
    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Line:
    """Noisy points of y = 2x, seven of them."""

    poisoned: int | None = None

    def batch(self, positions: Sequence[int]) -> Points:
        items = [item_of(3, position, 7) for position in positions]
        noise = [torch.randn(1, generator=generator_of(3, "sample", position)) for position in positions]
        x = torch.tensor(items, dtype=torch.float32)[:, None] / 7
        if self.poisoned in positions:
            x = x * float("nan")
        return Points(x, 2 * x + 0.1 * torch.stack(noise))

    def names(self, positions: Sequence[int]) -> list[str]:
        return [f"case_{item_of(3, position, 7)}" for position in positions]


def squared_error(networks: Mapping[str, nn.Module], batch: Points, generator: torch.Generator, step: int) -> MicroLoss:
    noise = 0.01 * torch.randn(batch.x.shape, generator=generator)
    error = (networks["line"](batch.x + noise) - batch.y).square()
    return MicroLoss(error.mean(), error.detach().sum()[None], torch.tensor([float(len(error))]))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Dropout(0.1), nn.Linear(8, 1))


def learners() -> dict[str, Learner]:
    return {"line": Learner(network(), squared_error, ADAM, ema_decay=0.9, parts=("error",))}


def run_training(folder: Path, settings: LoopSettings = SETTINGS, identity: str = "a") -> dict[str, Tensor]:
    return train(learners(), Line(), settings, folder=folder, identity=identity)["line"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("[!.]*"))}


def test_two_trainings_leave_the_same_bytes_and_only_the_last_checkpoint(tmp_path: Path) -> None:
    run_training(tmp_path / "a")
    run_training(tmp_path / "b")
    files = files_of(tmp_path / "a")
    assert files == files_of(tmp_path / "b")
    assert sorted(files) == ["loss.csv", "step_00000012.json", "step_00000012.safetensors"]


def test_the_loss_falls_and_every_step_has_its_row(tmp_path: Path) -> None:
    run_training(tmp_path, replace(SETTINGS, num_steps=200, checkpoint_every=200))
    lines = (tmp_path / "loss.csv").read_text("utf-8").splitlines()
    assert lines[0] == "step,loss,error,gradient_norm,learning_rate"
    rows = [[float(cell) for cell in line.split(",")] for line in lines[1:]]
    assert [row[0] for row in rows] == list(range(1, 201))
    assert all(abs(row[1] - row[2]) < 1e-5 for row in rows)
    assert [row[4] for row in rows[:4]] == pytest.approx([1e-2 / 3, 2e-2 / 3, 1e-2, 1e-2])
    assert sum(row[1] for row in rows[-20:]) < 0.2 * sum(row[1] for row in rows[:20])


@pytest.mark.parametrize("first_part", [4, 8])
def test_a_resumed_training_ends_with_the_same_bytes(tmp_path: Path, first_part: int) -> None:
    whole = run_training(tmp_path / "whole")
    run_training(tmp_path / "parts", replace(SETTINGS, num_steps=first_part))
    resumed = run_training(tmp_path / "parts")
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "parts")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name])


def test_a_lost_table_of_losses_is_written_again(tmp_path: Path) -> None:
    run_training(tmp_path / "whole")
    run_training(tmp_path / "parts", replace(SETTINGS, num_steps=8))
    (tmp_path / "parts" / "loss.csv").unlink()
    run_training(tmp_path / "parts")
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "parts")


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    class Unreachable(Line):
        def batch(self, positions: Sequence[int]) -> Points:
            raise AssertionError

    whole = run_training(tmp_path)
    again = train(learners(), Unreachable(), SETTINGS, folder=tmp_path, identity="a")["line"]
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_another_identity_begins_anew(tmp_path: Path) -> None:
    other = run_training(tmp_path / "other", replace(SETTINGS, seed=4), "b")
    run_training(tmp_path / "both")
    assert run_training(tmp_path / "both", replace(SETTINGS, seed=4), "b").keys() == other.keys()
    assert files_of(tmp_path / "both") == files_of(tmp_path / "other")


def test_a_damaged_last_checkpoint_costs_the_steps_since_the_one_before(tmp_path: Path) -> None:
    run_training(tmp_path / "whole")
    with pytest.raises(NonFiniteLossError):
        train(learners(), Line(poisoned=39), SETTINGS, folder=tmp_path / "parts", identity="a")
    last = tmp_path / "parts" / "step_00000008.safetensors"
    assert (tmp_path / "parts" / "step_00000004.safetensors").exists()
    last.write_bytes(last.read_bytes()[:-1])
    run_training(tmp_path / "parts")
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "parts")


def test_a_loss_that_is_no_number_stops_before_the_update_and_names_the_cases(tmp_path: Path) -> None:
    position = 4 * 5 + 2  # step 6, second micro-batch
    with pytest.raises(NonFiniteLossError, match="loss-not-finite") as caught:
        train(learners(), Line(poisoned=position), SETTINGS, folder=tmp_path, identity="a")
    assert "step 6" in caught.value.message
    assert f"case_{item_of(3, position, 7)}" in caught.value.message
    assert len((tmp_path / "loss.csv").read_text("utf-8").splitlines()) == 1 + 5
    assert sorted(tmp_path.glob("step_*.json")) == [tmp_path / "step_00000004.json"]


def test_accumulated_micro_batches_equal_one_batch(tmp_path: Path) -> None:
    def without_noise(
        networks: Mapping[str, nn.Module], batch: Points, generator: torch.Generator, step: int
    ) -> MicroLoss:
        error = (networks["line"](batch.x) - batch.y).square()
        return MicroLoss(error.mean(), torch.zeros(0), torch.zeros(0))

    def result(batch_size: int, accumulate: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))
        settings = replace(SETTINGS, batch_size=batch_size, accumulate=accumulate)
        folder = tmp_path / f"{batch_size}_{accumulate}"
        one = {"line": Learner(net, without_noise, ADAM, ema_decay=0.9)}
        return train(one, Line(), settings, folder=folder, identity="a")["line"]

    at_once, in_four = result(4, 1), result(1, 4)
    for name, tensor in at_once.items():
        torch.testing.assert_close(in_four[name], tensor, rtol=1e-5, atol=1e-6)


def test_threads_that_prepare_ahead_change_nothing(tmp_path: Path) -> None:
    run_training(tmp_path / "none")
    run_training(tmp_path / "two", replace(SETTINGS, num_workers=2))
    assert files_of(tmp_path / "none") == files_of(tmp_path / "two")


def test_a_second_learner_joins_later_and_resumes_too(tmp_path: Path) -> None:
    def critic(networks: Mapping[str, nn.Module], batch: Points, generator: torch.Generator, step: int) -> MicroLoss:
        with torch.no_grad():
            made = networks["line"](batch.x)
        loss = (networks["critic"](made) - networks["critic"](batch.y)).mean().square()
        return MicroLoss(loss, torch.zeros(0), torch.zeros(0))

    def pair() -> dict[str, Learner]:
        torch.manual_seed(1)
        second = Learner(nn.Linear(1, 1), critic, AdamSettings(0.1), ema_decay=0.5, first_step=6)
        return {**learners(), "critic": second}

    train(pair(), Line(), SETTINGS, folder=tmp_path / "whole", identity="a")
    train(pair(), Line(), replace(SETTINGS, num_steps=4), folder=tmp_path / "parts", identity="a")
    train(pair(), Line(), replace(SETTINGS, num_steps=9), folder=tmp_path / "parts", identity="a")
    train(pair(), Line(), SETTINGS, folder=tmp_path / "parts", identity="a")
    assert files_of(tmp_path / "whole") == files_of(tmp_path / "parts")
    rows = [line.split(",") for line in (tmp_path / "whole" / "loss.csv").read_text("utf-8").splitlines()]
    assert rows[0][-3:] == ["critic_loss", "critic_gradient_norm", "critic_learning_rate"]
    assert rows[6][-3:] == ["", "", ""]
    assert "" not in rows[7]


class Slow(Line):
    def batch(self, positions: Sequence[int]) -> Points:
        time.sleep(0.005)
        return super().batch(positions)


def train_slowly(folder: Path) -> None:
    torch.set_num_threads(1)
    train(learners(), Slow(), replace(SETTINGS, num_steps=60), folder=folder, identity="a")


def start_process(folder: Path) -> multiprocessing.process.BaseProcess:
    """A training in a process of its own, forked because importing everything anew takes seconds."""
    process = multiprocessing.get_context("fork").Process(target=train_slowly, args=(folder,))
    process.start()
    return process


def run_process(folder: Path) -> int | None:
    process = start_process(folder)
    process.join()
    return process.exitcode


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The slow training, undisturbed."""
    folder = tmp_path_factory.mktemp("whole")
    assert run_process(folder) == 0
    return folder


@pytest.mark.parametrize("trial", [*range(2), *(pytest.param(n, marks=pytest.mark.slow) for n in range(2, 50))])
def test_a_training_killed_anywhere_ends_with_the_same_bytes(whole: Path, tmp_path: Path, trial: int) -> None:
    draw = random.Random(trial)
    for _ in range(2):
        process = start_process(tmp_path / "killed")
        time.sleep(draw.uniform(0.05, 1.2))
        process.kill()
        process.join()
    assert run_process(tmp_path / "killed") == 0
    assert files_of(tmp_path / "killed") == files_of(whole)


@pytest.mark.usefixtures("in_foreground")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_a_checkpoint_and_exits_with_its_status(
    number: signal.Signals, status: int, whole: Path, tmp_path: Path
) -> None:
    process = start_process(tmp_path)
    while not (tmp_path / "loss.csv").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == status
    rows = len((tmp_path / "loss.csv").read_text("utf-8").splitlines()) - 1
    assert 0 < rows < 60
    assert (tmp_path / f"step_{rows:08d}.json").exists()
    assert run_process(tmp_path) == 0
    assert (tmp_path / "loss.csv").read_bytes() == (whole / "loss.csv").read_bytes()


_SCRIPT = """
import importlib.util, sys
from dataclasses import replace
from pathlib import Path
spec = importlib.util.spec_from_file_location("test_loop", {file!r})
test = importlib.util.module_from_spec(spec)
sys.modules["test_loop"] = test
spec.loader.exec_module(test)
settings = replace(test.SETTINGS, num_steps=30)
test.train(test.learners(), test.Line(), settings, folder=Path({folder!r}), identity="a")
"""


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path: Path) -> None:
    script = tmp_path / "two.py"
    script.write_text(_SCRIPT.format(file=__file__, folder=str(tmp_path / "two")), encoding="utf-8")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", script]
    subprocess.run(launcher, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    run_training(tmp_path / "one", replace(SETTINGS, num_steps=30))
    one, two = (
        torch.tensor(
            [
                [float(cell) for cell in line.split(",")]
                for line in (tmp_path / name / "loss.csv").read_text("utf-8").splitlines()[1:]
            ]
        )
        for name in ("one", "two")
    )
    torch.testing.assert_close(two, one, rtol=1e-4, atol=1e-6)


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


COLUMNS = ("loss", "kl")


def log_steps(path: Path, table: torch.Tensor | None, last: int) -> torch.Tensor:
    log = LossLog(path, COLUMNS, table)
    for step in range(1 if table is None else len(table) + 1, last + 1):
        log.append({"loss": 1 / step} if step % 2 else {"loss": 1 / step, "kl": 0.1 * step})
    log.close()
    return log.table()


def test_rows_are_exact_and_missing_values_empty(tmp_path: Path) -> None:
    log_steps(tmp_path / "loss.csv", None, 3)
    assert (tmp_path / "loss.csv").read_text("utf-8") == f"step,loss,kl\n1,1.0,\n2,0.5,0.2\n3,{1 / 3!r},\n"


def test_a_table_is_the_same_after_it_was_taken_up_again(tmp_path: Path) -> None:
    whole = log_steps(tmp_path / "whole.csv", None, 9)
    path = tmp_path / "parts.csv"
    table = log_steps(path, None, 7)[:4]
    path.write_text("lost", encoding="utf-8")
    again = log_steps(path, table, 9)
    assert path.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert torch.equal(again.nan_to_num(-1), whole.nan_to_num(-1))


def test_rows_can_be_read_while_they_are_written(tmp_path: Path) -> None:
    log = LossLog(tmp_path / "loss.csv", COLUMNS, None)
    assert log.table().shape == (0, 2)
    log.append({"loss": 2.0, "kl": float("inf")})
    assert (tmp_path / "loss.csv").read_text("utf-8") == "step,loss,kl\n1,2.0,inf\n"
    log.close()
