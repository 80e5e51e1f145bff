"""The run whose costs are estimated: its configuration, its cohort, and the sizes that several stages share."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

from medsyn2.config import Config
from medsyn2.planning.costs import GB, GRID_BYTES_PER_VOXEL, Cost
from medsyn2.planning.passes import Networks
from medsyn2.planning.sampling import SamplingCost, sampling
from medsyn2.planning.segmenting import segmenting
from medsyn2.planning.workload import Shards, Workload
from medsyn2.vocabulary import Structure


@dataclass(frozen=True)
class PlannedRun:
    """What an estimate of a stage's cost is made from."""

    config: Config  # The configuration
    work: Workload  # The cohort in numbers
    has_bf16: bool = True  # Whether the device that networks run on computes in bfloat16

    @cached_property
    def networks(self) -> Networks:
        """The networks of the main model."""
        return Networks.of(self.config, has_bf16=self.has_bf16)

    @cached_property
    def sampling(self) -> SamplingCost:
        """The cost of sampling with the main model."""
        return sampling(self.networks, self.work)

    def in_bf16(self, flops: float) -> float:
        """Return which of the operations of sampling, encoding or decoding run in bfloat16: all or none."""
        return flops if self.networks.precision == "bf16" else 0.0

    @property
    def on_grid_bytes(self) -> float:
        """Memory of a job that holds volumes on the model's grid."""
        return 0.6 * GB + GRID_BYTES_PER_VOXEL * self.work.grid_voxels

    def count_held_out(self, limit: int | None) -> int:
        """Return the number of held-out cases, or `limit` if that is less."""
        return self.work.test_cases if limit is None else min(self.work.test_cases, limit)

    @property
    def reconstructed(self) -> Shards:
        """The held-out cases that go through the tokenizer, by the job that puts them through."""
        return self.work.measured.first(self.config.evaluate_tokenizer.max_cases)

    @property
    def num_sampled(self) -> int:
        """Held-out cases that the stage sample makes volumes of."""
        return self.work.test.at_most(self.config.sample.max_cases).cases

    @property
    def num_segmented(self) -> int:
        """Structures that a case of the cohort may have a mask of."""
        return sum(tool is not None for tool in self.config.segment.tools.values())

    def segment_again(self, num_volumes: float, structures: Collection[Structure]) -> Cost:
        """Return the cost of finding some structures in so many volumes, each tool being run once a volume."""
        segment = self.config.segment
        tools = {**segment.tools, **self.config.evaluate_masks.tools}
        chosen = segment.model_copy(update={"tools": {structure: tools.get(structure) for structure in structures}})
        whole = segmenting(self.config.model_copy(update={"segment": chosen}), self.work)
        return whole.times(num_volumes / max(self.work.cases, 1))
