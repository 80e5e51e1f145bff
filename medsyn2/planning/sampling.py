"""What it takes to sample volumes: the solver's evaluations of the transformer, and the decoder."""

from dataclasses import dataclass

from medsyn2.config import Config
from medsyn2.flow.sampling import Sampling
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.kept import keep
from medsyn2.planning.passes import Networks
from medsyn2.planning.workload import Workload


@dataclass(frozen=True)
class SamplingCost:
    """The stage ``sample``, and what the stages that sample for themselves need of it."""

    cost: Cost  # Of the stage
    volumes: int  # How many it makes, at most
    forward_flops: float  # Operations of one run of the transformer
    volume_flops: float  # Operations of one volume, the decoder's included


def sampling(networks: Networks, work: Workload) -> SamplingCost:
    """Return what the stage ``sample`` takes with these networks."""
    settings = networks.config.sample
    sampled = work.test.at_most(settings.max_cases)
    volumes = sampled.cases * settings.num_conditions
    forward, decoding = networks.dit_forward(), networks.decoding()
    runs = evaluations(networks.config)
    flops = float(forward.flops) * runs + decoding.flops
    weights = networks.dit_bytes + networks.tokenizer_bytes
    cost = Cost(
        "sample",
        work.test.jobs,
        work.test.jobs * costs.START_S + volumes * costs.REGISTER_S_PER_MVOXEL * work.grid_voxels / 1e6,
        volumes * flops,
        bf16_flops=volumes * flops if networks.precision == "bf16" else 0.0,
        memory_bytes=GB + 12 * work.grid_voxels + weights,
        device_bytes=weights + max(forward.peak_bytes, decoding.peak_bytes),
        disk_bytes=costs.CT_BYTES_PER_VOXEL * work.grid_voxels * volumes,
        basis=f"at most {volumes} volumes, {runs} runs of the transformer each",
        share=sampled.share,
    )
    return SamplingCost(cost, volumes, forward.flops, flops)


def evaluations(config: Config) -> int:
    """Return how often the transformer is run for one volume: the solver's evaluations, times those of guidance.

    The solver is run on one number, so that its own code counts.
    """
    how = config.sampling
    count = keep("evaluations", how, lambda: _count_evaluations(how))
    return count * (1 if how.guidance_mask == how.guidance_report == 1.0 else 2)


def _count_evaluations(how: Sampling) -> int:
    import torch  # here, as all imports that a kept count does not need

    from medsyn2.flow.solvers import solve

    count = 0

    def predict(latents: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return latents

    solve(predict, torch.ones(1, 1, 1, 1, 1), how)
    return count
