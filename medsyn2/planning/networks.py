"""The stages that run networks: their operations and memory.

A stage costs a number of passes (``passes.py``), which its configuration and the cohort decide. Memory is the weights,
what the optimizer and the average keep beside them, and the largest sum of tensors that are alive at once.
"""

from math import prod

from medsyn2.config import Config
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.pass_settings import TRAINING_BF16
from medsyn2.planning.passes import KEPT_FOR_ADAM, text_width
from medsyn2.planning.run import PlannedRun
from medsyn2.training.engine.array_cache import ROOM_BYTES

ADVERSARY = 4 / 3
"""The discriminator and its gradients beside the tokenizer's: one third, by their operations at 96 x 96 x 96. A third
of the perceptual loss is added as well: its gradient is taken a second time, to weigh the adversary."""
LOADED = 1.0 * GB
"""Memory of a process with torch and what the training needs, before its data."""
CHECKPOINTS = 3
"""Those on the disk at once: two to resume from, and one that is being written."""


def train_tokenizer(run: PlannedRun) -> Cost:
    """Estimate the stage: its steps, and the volumes that its crops are read from."""
    networks, training = run.networks, run.config.train_tokenizer
    parameters, volume_bytes = networks.tokenizer_bytes, 2 * run.work.grid_voxels
    step, perceptual = networks.tokenizer_training(), networks.perceptual_loss()
    factor = ADVERSARY if training.gan_start is not None and training.gan_start < training.num_steps else 1.0
    micro_steps = training.accumulate * training.num_steps
    is_bf16 = training.precision == TRAINING_BF16
    crops = training.num_steps * training.accumulate * training.batch_size * (1 - training.mask_share)
    read = crops if volume_bytes * run.work.train_cases > ROOM_BYTES else min(crops, run.work.train_cases)
    return Cost(
        "train_tokenizer",
        1,
        costs.START_S + read * costs.READ_S_PER_MVOXEL * run.work.grid_voxels / 1e6,
        factor * step.flops * micro_steps,
        # The perceptual loss is outside autocast.
        bf16_flops=factor * (step.flops - perceptual.flops) * micro_steps if is_bf16 else 0.0,
        memory_bytes=LOADED
        + min(ROOM_BYTES, volume_bytes * run.work.train_cases)
        + (1 + training.num_workers) * volume_bytes,
        device_bytes=KEPT_FOR_ADAM * parameters + factor * step.peak_bytes,
        disk_bytes=CHECKPOINTS * KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps of {training.accumulate} x {training.batch_size}, {read:,.0f} volumes read",
        workers=max(training.num_workers, 1),
    )


def train_dit(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    networks, training = run.networks, run.config.train_dit
    parameters, latent_bytes = networks.dit_bytes, 2 * 2 * prod(networks.latent_shape)
    step = networks.dit_training()
    flops = float(step.flops) * training.accumulate * training.num_steps
    return Cost(
        "train_dit",
        1,
        costs.START_S,
        flops,
        bf16_flops=flops if training.precision == TRAINING_BF16 else 0.0,
        memory_bytes=LOADED + min(ROOM_BYTES, latent_bytes * run.work.train_cases),
        device_bytes=KEPT_FOR_ADAM * parameters + step.peak_bytes,
        disk_bytes=CHECKPOINTS * KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps of {training.accumulate} x {training.batch_size}",
    )


def sample(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return run.sampling.cost


def encode_latents(run: PlannedRun) -> Cost:
    """Estimate the stage: training cases with their masks, and an empty mask of each shard."""
    train, volumes = run.work.train, 1 + run.num_segmented
    one = run.networks.encoding()
    encoded = volumes * train.cases + train.jobs
    flops = float(one.flops) * encoded
    item = 2 if run.config.encode_latents.dtype == "float16" else 4
    return Cost(
        "encode_latents",
        train.jobs,
        train.jobs * costs.START_S + encoded * costs.READ_S_PER_MVOXEL * run.work.grid_voxels / 1e6,
        flops,
        bf16_flops=run.in_bf16(flops),
        memory_bytes=0.4 * GB + 8 * run.work.grid_voxels,
        device_bytes=one.peak_bytes,
        disk_bytes=item * prod(run.networks.latent_shape) * encoded,
        basis=f"{train.cases} training cases, the volume and at most {volumes - 1} masks of each",
        share=train.share,
    )


CXR_BERT_PARAMETERS = 85.6e6
"""Of the transformer's layers, without the embeddings: 12 layers of 12 x 768^2 products and their biases."""


def train_text_encoder(run: PlannedRun) -> Cost:
    """Estimate the stage, which has no job where an encoder is given."""
    small = run.config.train_text_encoder
    if run.config.encode_text.encoder_dir is not None:
        return Cost("train_text_encoder", 0)
    flops = 6 * _text_parameters(run.config) * small.num_steps * small.batch_size * small.window_tokens
    return Cost("train_text_encoder", 1, costs.START_S, flops, basis=f"{small.num_steps} steps")


def encode_prompts(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    memory = 0.6 * GB + 4 * _text_parameters(run.config)
    return Cost("encode_prompts", 1, costs.START_S, memory_bytes=memory, basis="ten texts")


def encode_text(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    every, tokens = run.work.both, run.config.encode_text.max_report_tokens
    parameters = _text_parameters(run.config)
    return Cost(
        "encode_text",
        every.jobs,
        every.jobs * costs.START_S,
        2 * parameters * tokens * every.cases,
        memory_bytes=0.6 * GB + 4 * parameters,
        disk_bytes=2.0 * tokens * text_width(run.config) * every.cases,
        basis="all tokens of each case",
        share=every.share,
    )


def _text_parameters(config: Config) -> float:
    """Return the parameters of the text encoder's layers; a given encoder is taken for CXR-BERT."""
    small = config.train_text_encoder
    if config.encode_text.encoder_dir is not None:
        return CXR_BERT_PARAMETERS
    return 12.0 * small.num_layers * small.hidden_size**2
