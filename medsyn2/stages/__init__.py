"""The stages, and what each reads of the configuration.

A stage has one name: it is the rule, the CLI verb, the module here and its function, the folder under
``results/`` and, where it has settings, the section of the configuration. A stage's function takes the
sections of this table as positional arguments, by name, and paths as keyword-only arguments, and is the only
kind of code that reads and writes. ``version`` is raised when the meaning of a stage's code changes, which
re-runs the stage and what follows it, as a changed setting does.

This module is light: Snakemake imports it to parse the workflow.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from medsyn2.config import Config
from medsyn2.fingerprints import canonical_json


@dataclass(frozen=True)
class Stage:
    """One stage of the workflow.

    Attributes:
        name: The one word.
        sections: Sections of the configuration that its function takes.
        version: Raised when the code's meaning changes.
        sharded: Whether it works shard by shard.
        shared: Whether several processes, each with its device, may share the work (``--processes``).
        room: The package that holds its module.
    """

    name: str
    sections: tuple[str, ...]
    version: int = 1
    sharded: bool = False
    shared: bool = False
    room: str = "stages"

    def load(self) -> Callable[..., None]:
        """Import the stage's module and return its function."""
        return getattr(import_module(f"medsyn2.{self.room}.{self.name}"), self.name)


_ALL = (
    Stage("phantoms", ("phantoms",), sharded=True),
    Stage("inventory", ("inventory",), version=2, sharded=True),
    Stage("template", ("grid", "template", "register")),
    Stage("register", ("grid", "register"), version=2, sharded=True),
    Stage("segment", ("segment",), version=3, sharded=True),
    Stage("masks", ("masks",), sharded=True),
    Stage("train_tokenizer", ("grid", "tokenizer", "train_tokenizer"), shared=True),
    Stage("encode_latents", ("grid", "encode_latents"), sharded=True),
    Stage("train_text_encoder", ("train_text_encoder",)),
    Stage("encode_prompts", ("encode_text",)),
    Stage("encode_text", ("encode_text",), sharded=True),
    Stage("train_dit", ("grid", "dit", "flow", "train_dit", "sampling"), shared=True),
    Stage("sample", ("sample", "sampling"), sharded=True),
    Stage("evaluate_fid", ("grid", "evaluate_fid"), version=3, room="evaluation.fidelity"),
    Stage(
        "evaluate_memorisation",
        ("grid", "evaluate_fid", "evaluate_memorisation"),
        version=2,
        room="evaluation.memorisation",
    ),
    Stage("evaluate_masks", ("segment", "evaluate_masks"), version=4, room="evaluation.masks"),
    Stage(
        "evaluate_edits",
        ("segment", "sample", "sampling", "evaluate_masks", "evaluate_edits"),
        version=2,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_attention",
        ("sample", "sampling", "evaluate_attention"),
        version=2,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_augmentation",
        ("segment", "sample", "sampling", "evaluate_masks", "evaluate_augmentation"),
        version=2,
        room="evaluation.augmentation",
    ),
    Stage("evaluate_scores", ("grid", "evaluate_fid", "evaluate_scores"), version=2, room="evaluation.text"),
    Stage(
        "evaluate_variants",
        ("flow", "sample", "sampling", "evaluate_variants"),
        version=2,
        room="evaluation.control",
    ),
    Stage(
        "evaluate_tokenizer",
        ("grid", "encode_latents", "evaluate_tokenizer"),
        version=4,
        room="evaluation.tokenizer",
    ),
    Stage("report", ("report",), version=3),
)

STAGES: dict[str, Stage] = {stage.name: stage for stage in _ALL}


MACHINE_KEYS: dict[str, frozenset[str]] = {
    "segment": frozenset({"weights_dir", "python", "device", "time_limit_s"})
}
"""Keys of a section that say where and how on this machine, and nothing of what is made."""


def sections_of(config: Config, stage: Stage) -> dict[str, Any]:
    """Return the sections that `stage` reads, by the names of the configuration file."""
    whole = config.model_dump(mode="json", by_alias=True)
    return {name: whole[name] for name in stage.sections}


def stage_params(config: Config, name: str) -> str:
    """Return, as canonical JSON, exactly what decides the output of a stage beside its inputs."""
    stage = STAGES[name]
    return canonical_json({**sections_of(config, stage), "stage": name, "version": stage.version})


def stage_settings(config: Config, name: str) -> str:
    """Return what of `stage_params` decides the bytes of the artefacts: all but where things are on this machine."""
    stage = STAGES[name]
    made_by = {
        section: {key: value for key, value in values.items() if key not in MACHINE_KEYS.get(section, ())}
        for section, values in sections_of(config, stage).items()
    }
    return canonical_json({**made_by, "stage": name, "version": stage.version})
