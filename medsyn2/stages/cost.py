"""The costs of the stages that are no evaluations, by the names of the stages."""

from medsyn2.planning.costs import START_S, Cost
from medsyn2.planning.networks import (
    encode_latents,
    encode_prompts,
    encode_text,
    sample,
    train_dit,
    train_text_encoder,
    train_tokenizer,
)
from medsyn2.planning.preparation import inventory, masks, phantoms, register, segment, template
from medsyn2.planning.run import PlannedRun

__all__ = [
    "check_split",
    "encode_latents",
    "encode_prompts",
    "encode_text",
    "inventory",
    "masks",
    "phantoms",
    "register",
    "report",
    "sample",
    "segment",
    "template",
    "train_dit",
    "train_text_encoder",
    "train_tokenizer",
]


def check_split(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return Cost("check_split", 1, START_S, basis="the start")


def report(run: PlannedRun) -> Cost:
    """Estimate the stage."""
    return Cost("report", 1, START_S, basis="the start")
