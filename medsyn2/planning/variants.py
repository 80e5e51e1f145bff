"""What each variant adds: its training and its volumes, and the comparison of them all."""

from collections.abc import Iterator
from dataclasses import replace

from medsyn2.planning.costs import Cost
from medsyn2.planning.passes import Networks
from medsyn2.planning.sampling import Sampling, sampling
from medsyn2.planning.training import dit_training
from medsyn2.planning.workload import Workload

EVALUATIONS_OF_LOSS = 4 * 10
"""Of the flow loss of one case and model: combinations of conditions, and times."""


def variants_costs(networks: Networks, work: Workload, main: Sampling) -> Iterator[Cost]:
    """Yield the costs of the variants that the configuration names, if it names any.

    Args:
        networks: Those of the main model.
        work: The cohort.
        main: What sampling takes with the main model.
    """
    config = networks.config
    if not config.variants:
        return
    lacking: list[str] = []
    for name in config.variants:
        other = Networks.of(config.with_variant(name))
        yield replace(dit_training(other, work), stage=f"train_dit, {name}")
        yield replace(sampling(other, work).cost, stage=f"sample, {name}")
        lacking += other.config.train_dit.leave_out
    cases = min(config.evaluate_variants.max_cases, work.test_cases)
    volumes = 2 * cases * (len(lacking) + len(set(lacking)))
    runs = (len(config.variants) + 1) * cases * EVALUATIONS_OF_LOSS
    yield Cost(
        "evaluate_variants",
        1,
        None,
        volumes * main.volume_flops + runs * main.forward_flops,
        memory_bytes=main.cost.memory_bytes,
        device_bytes=main.cost.device_bytes,
        basis=f"at most {runs} runs of a transformer and {volumes} volumes; tables of each variant are not counted",
    )
