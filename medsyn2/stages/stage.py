"""A line of the table of stages."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn2.config import Config
from medsyn2.stages import devices
from medsyn2.stages.devices import NeedsGpu, NumThreads
from medsyn2.stages.outputs import Output

if TYPE_CHECKING:
    from medsyn2.planning.costs import Cost
    from medsyn2.planning.run import PlannedRun

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class Stage:
    """One stage of the workflow."""

    name: str  # The one word
    sections: tuple[str, ...]  # Sections of the configuration that its function takes
    outputs: tuple[Output, ...]  # The files that it makes
    version: int = 1  # Raised when the code's meaning changes
    gpu: tuple[NeedsGpu, ...] = ()  # Conditions; it asks for a GPU if one of them does
    num_threads: NumThreads = devices.one  # CPU cores that a job asks for
    sharded: bool = False  # Whether it works shard by shard
    # Whether several processes, each with its device, may share the work (``--processes``)
    shared: bool = False
    each_model: bool = False  # Whether it runs for each variant too, with the variant's settings
    room: str = "stages"  # The package that holds its module
    unread: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # Keys of its sections that it does not read

    def load(self) -> Callable[..., None]:
        """Import the stage's module and return its function."""
        return getattr(import_module(f"medsyn2.{self.room}.{self.name}"), self.name)

    def load_cost(self) -> "Callable[[PlannedRun], Cost]":
        """Import the room's module ``cost`` and return the function that estimates this stage."""
        return getattr(import_module(f"medsyn2.{self.room}.cost"), self.name)

    def caption_path(self, output: Output) -> Path:
        """Return the file of an output's caption, in reStructuredText with no other markup than *emphasis*."""
        return _PACKAGE.joinpath(*self.room.split("."), "captions", f"{output.caption}.rst")

    @property
    def in_evaluation(self) -> bool:
        """Whether it is an evaluation, with a room of its own."""
        return self.room != "stages"

    def is_requested(self, config: Config) -> bool:
        """Return whether a run asks for one of its outputs."""
        return any(output.asked_for(config) for output in self.outputs)

    def num_gpus(self, config: Config) -> int:
        """Return how many GPUs a job asks for."""
        needed = any(needs_gpu(config) for needs_gpu in self.gpu)
        return config.jobs.num_gpus(self.name) if needed else 0
