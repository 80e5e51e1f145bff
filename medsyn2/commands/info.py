"""Print parameters, operations, tokens and predicted memory of a configuration's networks.

    medsyn2 info --preset paper
    medsyn2 info --config configs/paper.yaml mine.yaml

The model that ships with the package, with its place and size:

    medsyn2 info --preset bundled

Several files are merged, the last one wins. The preset `default` is the built-in configuration; others are files in
configs/, with official and recommended merged onto paper. Nothing is allocated: the networks run on tensors without
values. Memory is weights, tensors and, in training, the state of Adam and the moving average, without library
workspaces.
"""

import argparse
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from medsyn2.commands.answers import add_json, answer
from medsyn2.config import Config, load_config
from medsyn2.errors import ConfigError

PRESETS = {
    "default": (),
    "bundled": ("bundled",),
    "paper": ("paper",),
    "official": ("paper", "official"),
    "recommended": ("paper", "recommended"),
}
CONFIGS = Path(__file__).parents[2] / "configs"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--preset", choices=PRESETS, default="default", help="(default: %(default)s)")
    which.add_argument("--config", type=Path, nargs="+", metavar="FILE", help="configuration files")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """Print the tables."""
    from medsyn2.planning.description import describe

    files = arguments.config or [_preset(name) for name in PRESETS[arguments.preset]]
    found = describe(load_config(*files) if files else Config())
    z, depth, height, width = found.latent_shape
    lines = [
        f"latents {z} x {depth} x {height} x {width}, {found.tokens:,} image tokens, {found.text_tokens} text tokens"
    ]
    for title, parts in (("transformer", found.dit), ("tokenizer", found.tokenizer)):
        rows = [(part.name, f"{part.copies}", f"{part.parameters:,}") for part in parts]
        total = sum(part.parameters for part in parts)
        lines += ["", *_table((title, "copies", "parameters"), [*rows, ("total", "", f"{total:,}")])]
    rows = [(work.name, f"{work.flops / 1e12:,.4g}", f"{work.memory_bytes / 2**30:,.3g}") for work in found.work]
    lines += ["", *_table(("one", "TFLOP", "GiB, predicted"), rows)]
    values = asdict(found)
    if arguments.preset == "bundled" and not arguments.config:
        values["bundled"] = bundled = _describe_bundled()
        lines += [
            "",
            f"weights: {bundled['folder']}, {bundled['bytes'] / 1e6:.1f} MB in float16, model "
            f"{bundled['fingerprint'][:12]}, {bundled['steps']:,} steps on {bundled['cases']} phantoms",
        ]
    answer(arguments, "info", values, "\n".join(lines) + "\n")


def _describe_bundled() -> dict[str, Any]:
    """Return place, size and training of the model that ships with the package."""
    from medsyn2.weights.bundled import bundled_model
    from medsyn2.weights.model_folder import read_description

    folder = bundled_model()
    description = read_description(folder)
    return {
        "folder": str(folder),
        "bytes": sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()),
        "fingerprint": description.fingerprint,
        "steps": description.training.num_steps,
        "cases": description.training.num_cases,
    }


def _preset(name: str) -> Path:
    path = CONFIGS / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(
            f"The preset {name} is the file {path}, which does not exist.",
            code="preset-missing",
            remedy="run it from a checkout of the project, or give the files with --config.",
        )
    return path


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = [head, *rows]
    first, *others = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([row[0].ljust(first), *map(str.rjust, row[1:], others)]) for row in rows]
