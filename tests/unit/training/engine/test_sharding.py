"""Several processes share the parameters of a training, on CPUs with gloo."""

import multiprocessing
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from medsyn2.training.engine.draws import generator_of
from medsyn2.training.engine.fabric import Sharing, make_fabric
from medsyn2.training.engine.learner import Learner, LoopSettings, MicroLoss
from medsyn2.training.engine.loop import train
from medsyn2.training.engine.optimizer import AdamSettings
from medsyn2.training.engine.sharding import gather_full_tensor, local_shard
from medsyn2.training.engine.state import TrainingState

SETTINGS = LoopSettings(num_steps=6, batch_size=2, checkpoint_every=2, seed=3, accumulate=4)
LAST = "step_00000006.safetensors"


class Net(nn.Module):
    """Blocks in a list, as the transformer's, with sizes that no number of processes divides, and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(3, 7), nn.Tanh(), nn.Linear(7, 3)) for _ in range(2))
        self.last = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(1, dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = x + block(x)
        return self.last(x)


@dataclass(frozen=True)
class Points:
    x: Tensor
    y: Tensor


class Plane:
    """Points of a plane."""

    def batch(self, positions: Sequence[int]) -> Points:
        x = torch.stack([torch.randn(3, generator=generator_of(3, "x", each)) for each in positions])
        return Points(x, x.sum(dim=1, keepdim=True))

    def names(self, positions: Sequence[int]) -> list[str]:
        return [str(each) for each in positions]


def squared_error(networks: Mapping[str, nn.Module], batch: Points, generator: torch.Generator, step: int) -> MicroLoss:
    error = (networks["net"](batch.x) - batch.y).square()
    return MicroLoss(error.mean(), torch.zeros(0), torch.zeros(0))


def learners() -> dict[str, Learner]:
    torch.manual_seed(0)
    adam = AdamSettings(learning_rate=1e-2, warmup_steps=2, clip_grad_norm=0.5, weight_decay=0.01)
    return {"net": Learner(Net(), squared_error, adam, ema_decay=0.9)}


def run_training(folder: Path, processes: int, sharing: Sharing, num_steps: int = 6) -> dict[str, Tensor]:
    """Train, and return the first process's checkpoint with the average it returns."""
    settings = replace(SETTINGS, strategy=sharing, num_steps=num_steps)

    def work() -> None:
        averages = train(learners(), Plane(), settings, folder=folder, identity="a")["net"]
        torch.save(averages, folder.with_name(f"{folder.name}_{os.environ['RANK']}.pt"))

    in_processes(processes, work)
    averages = [torch.load(folder.with_name(f"{folder.name}_{rank}.pt")) for rank in range(processes)]
    for other in averages[1:]:
        assert all(torch.equal(other[name], tensor) for name, tensor in averages[0].items())
    return load_file(folder / f"step_{num_steps:08d}.safetensors") | averages[0]


def in_processes(processes: int, work: Callable[[], Any]) -> None:
    """Run `work` in processes that know of each other as torchrun lets them, forked, as imports take seconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    elastic = {"TORCHELASTIC_RUN_ID": "test", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    elastic |= {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}

    def begin(rank: int) -> None:
        os.environ.update(elastic, RANK=str(rank), LOCAL_RANK=str(rank), GROUP_RANK="0")
        torch.set_num_threads(1)
        work()

    context = multiprocessing.get_context("fork")
    started = [context.Process(target=begin, args=(rank,)) for rank in range(processes)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert [process.exitcode for process in started] == [0] * processes


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Tensor]]:
    folder = tmp_path_factory.mktemp("runs")
    return {
        "one": run_training(folder / "one", 1, "fsdp"),
        "ddp": run_training(folder / "ddp", 2, "ddp"),
        "fsdp": run_training(folder / "fsdp", 2, "fsdp"),
    }


def assert_close(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-5, atol=1e-6, msg=name)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_two_processes_make_the_checkpoint_and_the_average_of_one(runs, strategy: str) -> None:
    """Weights, moments, averages and losses; clipping is by the norm of all gradients, wherever they are."""
    assert_close(runs[strategy], runs["one"])


def test_four_that_share_parameters_do_too(runs, tmp_path: Path) -> None:
    assert_close(run_training(tmp_path / "four", 4, "fsdp"), runs["one"])


def test_a_sharded_training_is_gone_on_from_with_the_same_bits(runs, tmp_path: Path) -> None:
    run_training(tmp_path / "parts", 2, "fsdp", num_steps=2)
    again = run_training(tmp_path / "parts", 2, "fsdp")
    assert all(torch.equal(again[name], tensor) for name, tensor in runs["fsdp"].items())


@pytest.mark.parametrize(
    ("first", "then"), [((2, "fsdp"), (1, "ddp")), ((1, "ddp"), (2, "fsdp")), ((4, "fsdp"), (2, "ddp"))]
)
def test_any_processes_go_on_from_a_checkpoint_of_others(runs, tmp_path: Path, first, then) -> None:
    run_training(tmp_path / "parts", *first, num_steps=2)
    assert_close(run_training(tmp_path / "parts", *then), runs["one"])


def test_each_process_holds_its_share_of_everything(tmp_path: Path) -> None:
    def work() -> None:
        fabric = make_fabric("32-true", "fsdp")
        state = TrainingState(fabric, learners(), None)
        names = dict(state.networks["net"].named_parameters())
        assert all(isinstance(parameter, DTensor) for parameter in names.values())
        held = sum(local_shard(parameter).numel() for parameter in names.values())
        total = sum(parameter.numel() for parameter in names.values())
        assert 0.3 * total < held < 0.7 * total  # no size is even
        averages = state.averages["net"].tensors
        assert {name: local_shard(averages[name]).numel() for name in names} == {
            name: local_shard(parameter).numel() for name, parameter in names.items()
        }
        fresh = dict(learners()["net"].network.named_parameters())
        assert all(torch.equal(gather_full_tensor(parameter), fresh[name]) for name, parameter in names.items())

    in_processes(2, work)
