"""The consistency of a whole run: mistakes that no field can show alone, and that would be met hours later.

A stage is handed its own sections, with the defaults in place of the others. Only whole configurations are therefore
checked: when the workflow is planned and when a file is read.
"""

from collections.abc import Iterable, Iterator

from medsyn2.config.base import COMPRESSION
from medsyn2.config.networks import TokenizerConfig, TrainDiTConfig, TrainTokenizerConfig
from medsyn2.config.schema import Config
from medsyn2.vocabulary import BUNDLED, MIN_SUBVOXEL_CHANNELS, Structure


def disagreements(config: Config) -> Iterator[str]:
    """Yield each setting that cannot work: the key, the value, and the values that would do."""
    yield from _patches(config)
    yield from _shapes(config)
    yield from _tokenizer(config.tokenizer)
    yield from _initial_weights(config)
    yield from _texts(config)
    yield from _processes(config)
    yield from _schedules(config)


def schedule_notes(name: str, training: TrainTokenizerConfig | TrainDiTConfig) -> Iterator[str]:
    """Yield what a training that ends before its schedule does leaves out; a longer one would go on with it.

    Args:
        name: Its section.
    """
    end, warmup, decay = training.num_steps, training.warmup_steps, training.decay_steps
    if end <= warmup:
        yield f"{name}.num_steps {end}: the learning rate still rises then, until warmup_steps {warmup}"
    elif decay is not None and end < decay:
        yield f"{name}.num_steps {end}: the learning rate has not fallen to 0 then, as it does at decay_steps {decay}"
    start = training.gan_start if isinstance(training, TrainTokenizerConfig) else None
    if start is not None and end <= start:
        yield f"{name}.num_steps {end}: nothing is trained with the discriminator, which starts at gan_start {start}"


def tool_notes(config: Config) -> Iterator[str]:
    """Yield the structures that are asked for and that no tool looks for, by the key that asks."""
    asked: dict[str, Iterable[Structure]] = {
        "sample.structures": config.sample.structures,
        "sample.joint": config.sample.joint,
        "evaluate_masks.structures": config.evaluate_masks.structures or (),
        "evaluate_edits.structures": config.evaluate_edits.structures,
        "evaluate_edits.progressive": config.evaluate_edits.progressive,
        "evaluate_augmentation.structure": (config.evaluate_augmentation.structure,),
    }
    for key, structures in asked.items():
        if idle := [name for name in structures if config.segment.tools.get(name) is None]:
            yield (
                f"{key} has {', '.join(idle)}, which no tool looks for (segment.tools): no case has a mask of it, so "
                "nothing is made from one, and tables of it have no rows"
            )


def trainings(config: Config) -> dict[str, TrainTokenizerConfig | TrainDiTConfig]:
    """Return the sections of all trainings of networks that have a schedule, by name."""
    found: dict[str, TrainTokenizerConfig | TrainDiTConfig] = {"train_tokenizer": config.train_tokenizer}
    found["train_dit"] = config.train_dit
    return {**found, **{f"variants.{name}.train_dit": one.train_dit for name, one in config.variants.items()}}


def _schedules(config: Config) -> Iterator[str]:
    for name, training in trainings(config).items():
        end, decay = training.num_steps, training.decay_steps
        if decay is not None and decay < end:
            yield (
                f"{name}.decay_steps: the learning rate is 0 from there on, so the steps to num_steps {end} would "
                f"change nothing; take {end}, which trains from the beginning, or null for a constant rate; got {decay}"
            )


def _patches(config: Config) -> Iterator[str]:
    latents = tuple(size // factor for size, factor in zip(config.grid.shape, COMPRESSION, strict=True))
    networks = {"dit": config.dit, **{f"variants.{name}.dit": one.dit for name, one in config.variants.items()}}
    for name, dit in networks.items():
        if any(size % patch for size, patch in zip(latents, dit.patch, strict=True)):
            yield (
                f"{name}.patch: must divide the latents' {latents}, which is grid.shape {config.grid.shape} by "
                f"{COMPRESSION}, got {dit.patch}"
            )


def _shapes(config: Config) -> Iterator[str]:
    crop, grid = config.train_tokenizer.crop_shape, config.grid.shape
    if any(part > size for part, size in zip(crop, grid, strict=True)):
        yield f"train_tokenizer.crop_shape: must fit into grid.shape {grid}, got {crop}"


def _tokenizer(tokenizer: TokenizerConfig) -> Iterator[str]:
    if tokenizer.depth_mode == "first_frame":
        yield (
            "tokenizer.depth_mode: first_frame takes a slice more than a multiple of 4, which no grid has; take "
            "uniform_aligned or uniform_paper"
        )
    elif tokenizer.layout == "official" and tokenizer.depth_mode != "uniform_paper":
        yield (f"tokenizer.depth_mode: must be uniform_paper in the layout official, got {tokenizer.depth_mode}")
    widths = tuple(tokenizer.hidden_channels * factor for factor in tokenizer.channel_multipliers)
    if tokenizer.layout == "subvoxel" and min(widths) < MIN_SUBVOXEL_CHANNELS:
        yield (
            f"tokenizer.hidden_channels: the layout subvoxel needs {MIN_SUBVOXEL_CHANNELS} channels in each level, "
            f"got {widths}"
        )
    if any(width % tokenizer.norm_groups for width in widths):
        yield (f"tokenizer.norm_groups: must divide the channels of all levels, {widths}, got {tokenizer.norm_groups}")


def _initial_weights(config: Config) -> Iterator[str]:
    shipped = TokenizerConfig().model_dump()  # the tokenizer of the package has the default's sizes
    differing = [name for name, value in config.tokenizer.model_dump().items() if value != shipped[name]]
    if config.train_tokenizer.initial_weights == BUNDLED and differing:
        yield (
            f"train_tokenizer.initial_weights: {BUNDLED} is a tokenizer with other values of "
            f"{', '.join(f'tokenizer.{name}' for name in differing)}; take null, which trains from scratch, or a file"
        )


def _texts(config: Config) -> Iterator[str]:
    if config.encode_text.encoder_dir is not None:
        return
    places = config.train_text_encoder.max_tokens
    for name in ("max_report_tokens", "max_prompt_tokens"):
        if (wanted := getattr(config.encode_text, name)) > places:
            yield (
                f"encode_text.{name}: the text encoder has positions for {places} tokens "
                f"(train_text_encoder.max_tokens), got {wanted}"
            )


def _processes(config: Config) -> Iterator[str]:
    for section, training in trainings(config).items():
        stage, accumulate = section.rpartition(".")[2], training.accumulate
        processes = config.jobs.num_gpus(stage)
        if accumulate % processes:
            yield (
                f"jobs.gpus.{stage}: a process on each GPU, which share the micro-batches of a step, must divide "
                f"{section}.accumulate, which is {accumulate}, got {processes}"
            )
