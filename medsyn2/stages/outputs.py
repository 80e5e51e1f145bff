"""The files that a stage leaves in ``results/``, and the settings under which a run asks for them.

A file of the main model lies below ``results/``, the same file of a variant below ``results/variants/<name>/``. A
condition returns these prefixes for the models whose file is asked for: ``("",)`` for the main model alone, ``()`` for
none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from medsyn2.config import Config

Condition = Callable[[Config], tuple[str, ...]]
"""From a configuration to the prefixes of the models whose files are asked for."""

MAIN_MODEL = ""
"""The prefix of the main model."""


def main_model(config: Config) -> tuple[str, ...]:
    """Ask for the main model's files, whatever is configured."""
    return (MAIN_MODEL,)


def if_variants(config: Config) -> tuple[str, ...]:
    """Ask for the comparison of models where there are variants."""
    return (MAIN_MODEL,) if config.variants else ()


def if_masks_left_out(config: Config) -> tuple[str, ...]:
    """Ask for the study of masks that a variant was not trained with, where there is such a variant."""
    left_out = any(variant.train_dit.leave_out for variant in config.variants.values())
    return (MAIN_MODEL,) if left_out else ()


def main_model_and_other_gates(config: Config) -> tuple[str, ...]:
    """Ask for the main model's files, and for those of the variants that differ in whether attention has gates."""
    others = (name for name, variant in config.variants.items() if variant.dit.gate != config.dit.gate)
    return (MAIN_MODEL, *map(variant_prefix, others))


def variant_prefix(name: str) -> str:
    """Return the prefix of a variant's files."""
    return f"variants/{name}/"


def models(config: Config) -> dict[str, Config]:
    """Return the settings of the main model and of each variant, by the prefix of their files."""
    variants = {variant_prefix(name): config.with_variant(name) for name in config.variants}
    return {MAIN_MODEL: config, **variants}


def model_pattern(config: Config) -> str:
    """Return a regular expression for the prefixes of a configuration's models."""
    return f"(variants/({'|'.join(config.variants)})/)?"


@dataclass(frozen=True)
class Output:
    """Files that a stage makes, all of one kind."""

    keyword: str  # The keyword of the stage's function, and the name in the workflow's rule
    files: tuple[str, ...]  # Paths below the model's prefix; a stage that works by shards has ``{shard}`` in them
    # Name of the caption among those of the stage's room; empty if nobody is shown the files
    caption: str = ""
    asked_for: Condition = main_model  # The condition under which a run asks for them

    category: ClassVar[str] = ""
    """Heading in the reports."""


class File(Output):
    """Files that only later stages read; nothing else asks for them."""


class Table(Output):
    """CSV files."""

    category = "Tables"


class Figure(Output):
    """PNG files."""

    category = "Figures"


class Page(Output):
    """HTML files."""

    category = "Report"
