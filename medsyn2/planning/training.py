"""What the two trainings take: their steps, what the optimizer keeps, and the checkpoints."""

from math import prod

from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.passes import KEPT_FOR_ADAM, Networks, weight_bytes
from medsyn2.planning.workload import Workload
from medsyn2.training.engine.array_cache import ROOM_BYTES

ADVERSARY = 4 / 3
"""The discriminator and its gradients beside the tokenizer's: one third, by their operations at 96 x 96 x 96."""
LOADED = 1.0 * GB
"""Memory of a process with torch and what the training needs, before its data."""
CHECKPOINTS = 3
"""Those on the disk at once: two to resume from, and one that is being written."""


def dit_training(networks: Networks, work: Workload) -> Cost:
    """Return what the training of the transformer takes."""
    training, parameters = networks.config.train_dit, weight_bytes(networks.dit)
    step = networks.dit_training()
    return Cost(
        "train_dit",
        1,
        costs.START_S,
        float(step.flops) * training.accumulate * training.num_steps,
        memory_bytes=LOADED + min(ROOM_BYTES, 2 * 2 * prod(networks.latent_shape) * work.train_cases),
        device_bytes=KEPT_FOR_ADAM * parameters + step.peak_bytes,
        disk_bytes=CHECKPOINTS * KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps of {training.accumulate} x {training.batch_size}",
    )


def tokenizer_training(networks: Networks, work: Workload) -> Cost:
    """Return what the training of the tokenizer takes."""
    training, parameters = networks.config.train_tokenizer, weight_bytes(networks.tokenizer)
    step = networks.tokenizer_training()
    factor = ADVERSARY if training.gan_start is not None and training.gan_start < training.num_steps else 1.0
    return Cost(
        "train_tokenizer",
        1,
        costs.START_S,
        factor * step.flops * training.num_steps,
        memory_bytes=LOADED + min(ROOM_BYTES, 2 * work.grid_voxels * work.train_cases),
        device_bytes=KEPT_FOR_ADAM * parameters + factor * step.peak_bytes,
        disk_bytes=CHECKPOINTS * KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps",
    )
