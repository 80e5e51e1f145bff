"""The stages that run networks: their operations and memory.

A stage costs a number of passes (``passes.py``), which its configuration and the cohort decide. Memory is the weights,
what the optimizer and the average keep beside them, and the largest sum of tensors that are alive at once.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

from medsyn2.config import Config
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.passes import CXR_BERT_WIDTH, KEPT_FOR_ADAM, Networks, weight_bytes
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.sampling import sampling
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


CXR_BERT_PARAMETERS = 85.6e6
"""Of the transformer's layers, without the embeddings: 12 layers of 12 x 768^2 products and their biases."""


def network_costs(run: PlannedRun) -> Iterator[Cost]:
    """Yield the costs of the stages from the tokenizer's training to sampling, and those of each variant."""
    networks, work = run.networks, run.work
    yield tokenizer_training(networks, work)
    yield _encoding(networks, work)
    yield from _texts(run.config, work)
    yield dit_training(networks, work)
    yield run.sampling.cost
    for name in run.config.variants:
        variant = Networks.of(run.config.with_variant(name))
        yield replace(dit_training(variant, work), stage=f"train_dit, {name}")
        yield replace(sampling(variant, work).cost, stage=f"sample, {name}")


def _encoding(networks: Networks, work: Workload) -> Cost:
    chosen = sum(tool is not None for tool in networks.config.segment.tools.values())
    volumes = 1 + chosen
    one = networks.encoding()
    item = 2 if networks.config.encode_latents.dtype == "float16" else 4
    return Cost(
        "encode_latents",
        work.shards,
        work.shards * costs.START_S,
        one.flops * volumes * work.cases,
        memory_bytes=0.4 * GB + 8 * work.grid_voxels,
        device_bytes=one.peak_bytes,
        disk_bytes=item * prod(networks.latent_shape) * volumes * work.cases,
        basis=f"the volume and at most {chosen} masks of each case",
    )


def _texts(config: Config, work: Workload) -> Iterator[Cost]:
    small, text = config.train_text_encoder, config.encode_text
    tokens = text.max_report_tokens
    if text.encoder_dir is None:
        parameters, width = 12.0 * small.num_layers * small.hidden_size**2, small.hidden_size
        flops = 6 * parameters * small.num_steps * small.batch_size * small.window_tokens
        yield Cost("train_text_encoder", 1, costs.START_S, flops, basis=f"{small.num_steps} steps")
    else:
        parameters, width = CXR_BERT_PARAMETERS, CXR_BERT_WIDTH
    yield Cost("encode_prompts", 1, costs.START_S, basis="ten texts")
    yield Cost(
        "encode_text",
        work.shards,
        work.shards * costs.START_S,
        2 * parameters * tokens * work.cases,
        memory_bytes=0.6 * GB + 4 * parameters,
        device_bytes=4 * parameters,
        disk_bytes=2.0 * tokens * width * work.cases,
        basis="all tokens of each case",
    )
