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
from medsyn2.planning.passes import CXR_BERT_WIDTH, Networks
from medsyn2.planning.run import PlannedRun
from medsyn2.planning.sampling import sampling
from medsyn2.planning.training import dit_training, tokenizer_training
from medsyn2.planning.workload import Workload

CXR_BERT_PARAMETERS = 85.6e6
"""Of the transformer's layers, without the embeddings: 12 layers of 12 x 768^2 products and their biases."""


def network_costs(run: PlannedRun) -> Iterator[Cost]:
    """Yield the costs of the stages from the tokenizer's training to sampling, and those of each variant."""
    networks, work = run.networks, run.work
    yield tokenizer_training(networks, work)
    yield _encoding(networks, work)
    yield from _texts(run.config, work)
    yield dit_training(networks, work)
    yield run.sampled.cost
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
