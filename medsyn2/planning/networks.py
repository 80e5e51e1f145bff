"""The stages that run networks: their operations and memory, from shapes alone.

The networks that the configuration describes are run on tensors without values (``medsyn2.nn.cost``), forward and,
where they are trained, backward. Memory is the weights, what the optimizer and the average keep beside them, and the
largest sum of tensors that are alive at once.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod
from typing import Any

import torch

from medsyn2.config import Config
from medsyn2.flow.solvers import solve
from medsyn2.metrics.augmentation import ARMS
from medsyn2.nn.cost import Cost as NetworkCost
from medsyn2.nn.cost import cost_of, simulated
from medsyn2.nn.dit import DiT
from medsyn2.nn.streaming import stream_cost
from medsyn2.nn.tokenizer import CausalVideoVAE
from medsyn2.nn.unet2d import UNet2d
from medsyn2.nn.windows import decode_cost, encode_cost
from medsyn2.planning import costs
from medsyn2.planning.costs import GB, Cost
from medsyn2.planning.preparation import segmenting
from medsyn2.planning.workload import Workload
from medsyn2.training.memory import ROOM_BYTES
from medsyn2.training.segmenter import segmentation_loss

CXR_BERT_PARAMETERS, CXR_BERT_WIDTH = 85.6e6, 768
"""Of the transformer's layers, without the embeddings: 12 layers of 12 x 768^2 products and their biases."""
ADVERSARY = 4 / 3
"""The discriminator and its gradients beside the tokenizer's: one third, by their operations at 96 x 96 x 96."""
EVALUATIONS_OF_LOSS = 4 * 10
"""Of the flow loss of one case and model: combinations of conditions, and times."""
_LOADED = 1.0 * GB
"""Memory of a process with torch and what the training needs, before its data."""
_KEPT_FOR_ADAM = 4
"""Weights, both moments and the moving average, each in float32; gradients are in the measured peak."""


def network_costs(config: Config, work: Workload) -> Iterator[Cost]:
    """Yield the costs of the stages from the tokenizer's training on."""
    tokenizer = _tokenizer(config)
    shape = config.grid.shape
    latent = config.tokenizer.latent_channels * prod(tokenizer.latent_shape(shape))
    yield _tokenizer_training(config, work, tokenizer)
    yield _encoding(config, work, tokenizer, latent)
    yield from _texts(config, work)
    with simulated():
        network = DiT(**_dit_arguments(config))
    parameters = sum(parameter.numel() for parameter in network.parameters())
    yield _dit_training(config, work, network, parameters, tokenizer)
    sampling = _sampling(config, work, network, parameters, tokenizer)
    yield sampling
    yield from _variants(config, work, tokenizer, sampling)
    yield from _evaluation(config, work, tokenizer, sampling)


def evaluations(config: Config) -> int:
    """Return how often the transformer is run for one volume: the solver's evaluations, times those of guidance.

    The solver is run on one number, so that its own code counts.
    """
    count = 0

    def predict(latents: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        nonlocal count
        count += 1
        return latents

    sample = config.sample
    solve(
        predict,
        torch.ones(1, 1, 1, 1, 1),
        solver=sample.solver,
        num_steps=sample.num_steps,
        t_end=sample.t_end,
    )
    return count * (1 if sample.guidance_mask == sample.guidance_report == 1.0 else 2)


def _tokenizer(config: Config) -> CausalVideoVAE:
    with simulated():
        return CausalVideoVAE(**config.tokenizer.model_dump())


def _dit_arguments(config: Config) -> dict[str, Any]:
    width = CXR_BERT_WIDTH if config.encode_text.encoder_dir else config.train_text_encoder.hidden_size
    return {
        "latent_channels": config.tokenizer.latent_channels,
        "text_width": width,
        **config.dit.model_dump(),
    }


def _tokenizer_training(config: Config, work: Workload, tokenizer: CausalVideoVAE) -> Cost:
    training = config.train_tokenizer
    parameters = sum(parameter.numel() for parameter in tokenizer.parameters())
    with simulated():
        crops = torch.empty(training.batch_size, 1, *training.crop_shape)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16-mixed"):
                posterior = tokenizer.encode(crops)
                loss = (tokenizer.decode(posterior.mode()) - crops).abs().mean() + posterior.kl().mean()
            loss.backward()

        one = cost_of(step)
    factor = ADVERSARY if training.gan_start is not None and training.gan_start < training.num_steps else 1.0
    device = 4 * _KEPT_FOR_ADAM * parameters + factor * one.peak_bytes
    return Cost(
        "train_tokenizer",
        1,
        costs.START_S,
        factor * one.flops * training.num_steps,
        memory_bytes=_LOADED + min(ROOM_BYTES, 2 * work.grid_voxels * work.train_cases),
        device_bytes=device,
        disk_bytes=3 * 4 * _KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps",
    )


def _encoding(config: Config, work: Workload, tokenizer: CausalVideoVAE, latent: int) -> Cost:
    chosen = sum(tool is not None for tool in config.segment.tools.values())
    volumes = 1 + chosen
    settings = config.encode_latents
    one = encode_cost(tokenizer, config.grid.shape, settings.window, settings.overlap)
    item = 2 if settings.dtype == "float16" else 4
    return Cost(
        "encode_latents",
        work.shards,
        work.shards * costs.START_S,
        one.flops * volumes * work.cases,
        memory_bytes=0.4 * GB + 8 * work.grid_voxels,
        device_bytes=one.peak_bytes,
        disk_bytes=item * latent * volumes * work.cases,
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


def _dit_inputs(config: Config, tokenizer: CausalVideoVAE, batch: int) -> tuple[torch.Tensor, ...]:
    latent = (batch, config.tokenizer.latent_channels, *tokenizer.latent_shape(config.grid.shape))
    tokens = config.encode_text.max_prompt_tokens + config.encode_text.max_report_tokens
    text = torch.empty(batch, tokens, _dit_arguments(config)["text_width"])
    return torch.empty(latent), torch.empty(batch), torch.empty(latent), text


def _dit_training(
    config: Config, work: Workload, network: DiT, parameters: int, tokenizer: CausalVideoVAE
) -> Cost:
    training = config.train_dit
    network.checkpointing = training.checkpointing
    with simulated():
        inputs = _dit_inputs(config, tokenizer, training.batch_size)

        def step() -> None:
            with torch.autocast("cpu", torch.bfloat16, enabled=training.precision == "bf16-mixed"):
                loss = network(*inputs).square().mean()
            loss.backward()

        one = cost_of(step)
    return Cost(
        "train_dit",
        1,
        costs.START_S,
        float(one.flops) * training.accumulate * training.num_steps,
        memory_bytes=_LOADED + min(ROOM_BYTES, 2 * 2 * inputs[0][0].numel() * work.train_cases),
        device_bytes=4 * _KEPT_FOR_ADAM * parameters + one.peak_bytes,
        disk_bytes=3 * 4 * _KEPT_FOR_ADAM * parameters,
        basis=f"{training.num_steps} steps of {training.accumulate} x {training.batch_size}",
    )


def _sampling(
    config: Config, work: Workload, network: DiT, parameters: int, tokenizer: CausalVideoVAE
) -> Cost:
    settings = config.sample
    cases = work.test_cases
    if settings.max_cases is not None:
        cases = min(cases, settings.max_cases * work.shards)
    volumes = cases * (len(settings.structures) + settings.with_report)
    with simulated(), torch.no_grad():
        inputs = _dit_inputs(config, tokenizer, 1)
        one = cost_of(lambda: network(*inputs))
    decoded = decoding(config, tokenizer)
    runs = evaluations(config)
    weights = 4 * (parameters + sum(parameter.numel() for parameter in tokenizer.parameters()))
    return Cost(
        "sample",
        work.shards,
        work.shards * costs.START_S + volumes * costs.REGISTER_S_PER_MVOXEL * work.grid_voxels / 1e6,
        volumes * (float(one.flops) * runs + decoded.flops),
        memory_bytes=GB + 12 * work.grid_voxels + weights,
        device_bytes=weights + max(one.peak_bytes, decoded.peak_bytes),
        disk_bytes=costs.CT_BYTES_PER_VOXEL * work.grid_voxels * volumes,
        basis=f"at most {volumes} volumes, {runs} runs of the transformer each",
    )


def decoding(config: Config, tokenizer: CausalVideoVAE) -> NetworkCost:
    """Return what it takes to decode one volume in the configured way."""
    shape, windows = config.grid.shape, config.encode_latents
    if config.sample.decode == "stream":
        return stream_cost(tokenizer, shape, windows.window)
    return decode_cost(tokenizer, shape, windows.window, windows.overlap)


def _variants(config: Config, work: Workload, tokenizer: CausalVideoVAE, sampling: Cost) -> Iterator[Cost]:
    """Yield what each variant adds, its training and its volumes, and their comparison."""
    if not config.variants:
        return
    lacking: list[str] = []
    for name in config.variants:
        other = config.with_variant(name)
        with simulated():
            network = DiT(**_dit_arguments(other))
        parameters = sum(parameter.numel() for parameter in network.parameters())
        trained = _dit_training(other, work, network, parameters, tokenizer)
        sampled = _sampling(other, work, network, parameters, tokenizer)
        yield replace(trained, stage=f"train_dit, {name}")
        yield replace(sampled, stage=f"sample, {name}")
        lacking += other.train_dit.leave_out
    cases = min(config.evaluate_variants.max_cases, work.test_cases)
    lesions = 2 * cases * (len(lacking) + len(set(lacking)))
    runs = (len(config.variants) + 1) * cases * EVALUATIONS_OF_LOSS
    volumes = sampling.disk_bytes / (costs.CT_BYTES_PER_VOXEL * work.grid_voxels)
    yield Cost(
        "evaluate_variants",
        1,
        None,
        sampling.times((lesions + runs / evaluations(config)) / max(volumes, 1)).flops,
        memory_bytes=sampling.memory_bytes,
        device_bytes=sampling.device_bytes,
        basis=f"at most {runs} runs of a transformer and {lesions} volumes; tables of each variant are not counted",
    )


def _augmentation(config: Config, work: Workload, volumes: float, sampling: Cost) -> Cost:
    settings = config.evaluate_augmentation
    whose = work.train_cases if settings.masks_from == "train" else work.test_cases
    made = whose if settings.max_synthetic is None else min(whose, settings.max_synthetic)
    with simulated():
        network = UNet2d(settings.channels, settings.num_levels)
        slices = torch.empty(settings.batch_size, 1, settings.image_size, settings.image_size)
        one = cost_of(lambda: segmentation_loss(network(slices), torch.zeros_like(slices)).backward())
    networks = len(ARMS) * settings.num_seeds
    again = segmenting(config, work).times(made * settings.relabel / max(work.cases, 1))
    return Cost(
        "evaluate_augmentation",
        1,
        costs.added(costs.START_S, again.cpu_s),
        sampling.times(made / max(volumes, 1)).flops + float(one.flops) * networks * settings.num_steps,
        memory_bytes=sampling.memory_bytes,
        device_bytes=max(sampling.device_bytes, one.peak_bytes),
        basis=f"at most {made} volumes, {networks} networks of {settings.num_steps} steps",
    )


def _evaluation(config: Config, work: Workload, tokenizer: CausalVideoVAE, sampling: Cost) -> Iterator[Cost]:
    volumes = sampling.disk_bytes / (costs.CT_BYTES_PER_VOXEL * work.grid_voxels)
    read_s = costs.INVENTORY_S_PER_MVOXEL * work.grid_voxels / 1e6
    on_grid = 0.6 * GB + costs.GRID_BYTES_PER_VOXEL * work.grid_voxels
    yield Cost(
        "evaluate_fid",
        1,
        None,
        memory_bytes=on_grid,
        basis="reading alone takes " + f"{volumes * read_s:.0f} CPU s",
    )
    compared = len(config.evaluate_masks.structures) / max(len(config.sample.structures) + 1, 1)
    again = segmenting(config, work).times(2 * volumes * min(compared, 1.0) / max(work.cases, 1))
    yield Cost(
        "evaluate_masks", 1, again.cpu_s, 0.0, again.memory_bytes, again.device_bytes, basis=again.basis
    )
    edits = config.evaluate_edits
    made = edits.max_cases * (len(edits.structures) * (edits.num_seeds + 2) + 2 * len(edits.progressive) - 1)
    one_volume = sampling.times(made / max(volumes, 1))
    found = edits.max_cases * len(edits.structures) * (edits.num_seeds + 2)
    edited = segmenting(config, work).times(found / max(work.cases, 1))
    yield Cost(
        "evaluate_edits",
        1,
        None if edited.cpu_s is None else costs.START_S + edited.cpu_s,
        one_volume.flops,
        memory_bytes=max(sampling.memory_bytes, edited.memory_bytes),
        device_bytes=max(sampling.device_bytes, edited.device_bytes),
        basis=f"at most {made} volumes, {found} of them segmented again",
    )
    reports = min(config.evaluate_attention.max_cases, work.test_cases)
    yield Cost(
        "evaluate_attention",
        1,
        costs.START_S,
        sampling.times(reports / max(volumes, 1)).flops,
        memory_bytes=sampling.memory_bytes,
        device_bytes=sampling.device_bytes,
        basis=f"{reports} volumes; forming the maps is not counted",
    )
    yield _augmentation(config, work, volumes, sampling)
    kept = config.evaluate_tokenizer.max_cases
    cases = work.test_cases if kept is None else min(work.test_cases, kept)
    encoded = encode_cost(
        tokenizer, config.grid.shape, config.encode_latents.window, config.encode_latents.overlap
    )
    decoded = decode_cost(
        tokenizer, config.grid.shape, config.encode_latents.window, config.encode_latents.overlap
    )
    yield Cost(
        "evaluate_tokenizer",
        1,
        costs.START_S,
        float(encoded.flops + decoded.flops) * cases * 2,
        memory_bytes=on_grid,
        device_bytes=max(encoded.peak_bytes, decoded.peak_bytes),
        basis=f"{cases} cases and their masks",
    )
    yield Cost("evaluate_memorisation", 1, None, memory_bytes=on_grid, basis="nobody measured it")
    theirs = config.evaluate_scores.command
    yield Cost(
        "evaluate_scores",
        1,
        None,
        memory_bytes=on_grid,
        basis=f"what {theirs[0]} takes is not known" if theirs else "nobody measured it",
    )
    yield Cost("report", 1, costs.START_S, basis="the start")
